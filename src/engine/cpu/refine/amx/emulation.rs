//! AMX for the tests of processors that have none: the illegal instruction is read, done as the manual says (Intel SDM, volume 2), and stepped over.
//! Knows the instructions of the kernel alone; what else is illegal ends the process as ever. Never part of the program.

use std::cell::RefCell;
use std::io::Write as _;
use std::mem::zeroed;
use std::ptr;
use std::sync::OnceLock;

use libc::{
    REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RAX, REG_RBP, REG_RBX, REG_RCX,
    REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP, SA_SIGINFO, SIG_DFL, SIGILL, c_int, c_void, greg_t,
    sigaction, siginfo_t, signal, ucontext_t,
};

/// Tiles of palette 1.
const TILES: usize = 8;
/// Most rows of a tile, and most fours of bytes of a row.
const ROWS: usize = 16;
/// First byte of an instruction in VEX encoding with three bytes of prefix.
const VEX: u8 = 0xc4;
/// Second byte, low five bits: the opcode is one of 0F 38.
const MAP_0F38: u8 = 2;
/// Places of the registers in the context of a signal, in the order of the encoding.
const REGISTERS: [c_int; 16] = [
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
    REG_R12, REG_R13, REG_R14, REG_R15,
];

/// What the kernel uses of AMX; addresses and strides are worked out, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instruction {
    /// LDTILECFG.
    Configure { from: usize },
    /// TILERELEASE.
    Release,
    /// TILEZERO.
    Zero { tile: usize },
    /// TILELOADD.
    Load { tile: usize, from: usize, stride: usize },
    /// TILESTORED.
    Store { tile: usize, to: usize, stride: usize },
    /// TDPBUSD: unsigned bytes of the first times signed bytes of the second.
    Multiply {
        sums: usize,
        first: usize,
        second: usize,
    },
}

/// An operand in memory.
struct Memory {
    /// Base and displacement.
    start: usize,
    /// Scaled index, where there is one. Tiles need the form that could have one.
    index: Option<usize>,
}

/// The instruction that `code` begins with, and its length. Reads no more of the code than belongs to an instruction.
fn decode(code: impl IntoIterator<Item = u8>, registers: &[usize; 16]) -> Option<(Instruction, usize)> {
    let mut len = 0;
    let mut code = code.into_iter().inspect(|_| len += 1);
    if code.next()? != VEX {
        return None;
    }
    let [extensions, operands] = [code.next()?, code.next()?];
    // R, X and B add 8 to a register's number; they and the further register are stored inverted. W and L are 0.
    let [further_tile, index, base] = [0x80, 0x40, 0x20].map(|bit| usize::from(extensions & bit == 0) * 8);
    if extensions & 0x1f != MAP_0F38 || operands & 0x84 != 0 || further_tile != 0 {
        return None;
    }
    let [opcode, form] = [code.next()?, code.next()?];
    let further = usize::from(!operands >> 3 & 15);
    let tile = usize::from(form >> 3 & 7);
    let low = usize::from(form & 7);
    let memory = match form >> 6 {
        3 => None,
        mode => Some(address(mode, low, [index, base], &mut code, registers)?),
    };
    let both = |memory: Memory| Some((memory.start, memory.index?));
    let instruction = match (opcode, operands & 3, memory, further) {
        (0x49, 0, Some(memory), 0) if tile == 0 => Instruction::Configure {
            from: memory.start.wrapping_add(memory.index.unwrap_or(0)),
        },
        (0x49, 0, None, 0) if form == 0xc0 && base == 0 => Instruction::Release,
        (0x49, 3, None, 0) if low == 0 && base == 0 => Instruction::Zero { tile },
        (0x4b, 3, Some(memory), 0) => {
            let (from, stride) = both(memory)?;
            Instruction::Load { tile, from, stride }
        }
        (0x4b, 2, Some(memory), 0) => {
            let (to, stride) = both(memory)?;
            Instruction::Store { tile, to, stride }
        }
        (0x5e, 1, None, second) if second < TILES && base == 0 => Instruction::Multiply {
            sums: tile,
            first: low,
            second,
        },
        _ => return None,
    };
    Some((instruction, len))
}

/// What the byte of the form and the bytes behind it say of memory. Addresses relative to the instruction are not known.
fn address(
    mode: u8,
    low: usize,
    [index_high, base_high]: [usize; 2],
    code: &mut impl Iterator<Item = u8>,
    registers: &[usize; 16],
) -> Option<Memory> {
    let (mut base, mut index) = (low, None);
    if low == 4 {
        let scaled = code.next()?;
        base = usize::from(scaled & 7);
        index = Some(match usize::from(scaled >> 3 & 7) + index_high {
            4 => 0,
            register => registers[register] << (scaled >> 6),
        });
    }
    let no_base = mode == 0 && base == 5;
    if no_base && index.is_none() {
        return None;
    }
    let displacement = match mode {
        1 => isize::from(code.next()?.cast_signed()),
        0 if !no_base => 0,
        _ => i32::from_le_bytes([code.next()?, code.next()?, code.next()?, code.next()?]) as isize,
    };
    let base = if no_base { 0 } else { registers[base + base_high] };
    Some(Memory {
        start: base.wrapping_add_signed(displacement),
        index,
    })
}

/// A tile. What lies beyond its shape is zero. Without rows it is not configured.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    /// In bytes.
    row_len: usize,
    fours: [[[u8; 4]; ROWS]; ROWS],
}

impl Tile {
    const NONE: Self = Self {
        rows: 0,
        row_len: 0,
        fours: [[[0; 4]; ROWS]; ROWS],
    };
}

/// The tiles of a thread.
struct Tiles([Tile; TILES]);

impl Tiles {
    const NONE: Self = Self([Tile::NONE; TILES]);

    /// Does what the instruction says; nothing where a processor would refuse.
    ///
    /// # Safety
    /// The memory that the instruction names must be there, as for the instruction itself.
    unsafe fn execute(&mut self, instruction: Instruction) -> Option<()> {
        match instruction {
            Instruction::Configure { from } => {
                // SAFETY: a configuration is 64 bytes, and the caller promises them.
                self.configure(&unsafe { ptr::with_exposed_provenance::<[u8; 64]>(from).read_unaligned() })
            }
            Instruction::Release => {
                *self = Self::NONE;
                Some(())
            }
            Instruction::Zero { tile } => {
                self.tile(tile)?.fours = Tile::NONE.fours;
                Some(())
            }
            Instruction::Load { tile, from, stride } => {
                let tile = self.tile(tile)?;
                tile.fours = Tile::NONE.fours;
                for (row, fours) in tile.fours.iter_mut().enumerate().take(tile.rows) {
                    let from = ptr::with_exposed_provenance(from.wrapping_add(row.wrapping_mul(stride)));
                    // SAFETY: the caller promises the memory; a row of a tile is no longer than the place for it.
                    unsafe { ptr::copy(from, fours.as_flattened_mut().as_mut_ptr(), tile.row_len) };
                }
                Some(())
            }
            Instruction::Store { tile, to, stride } => {
                let tile = self.tile(tile)?;
                for (row, fours) in tile.fours.iter().enumerate().take(tile.rows) {
                    let to = ptr::with_exposed_provenance_mut(to.wrapping_add(row.wrapping_mul(stride)));
                    // SAFETY: as for a load.
                    unsafe { ptr::copy(fours.as_flattened().as_ptr(), to, tile.row_len) };
                }
                Some(())
            }
            Instruction::Multiply { sums, first, second } => self.multiply([sums, first, second]),
        }
    }

    /// A tile that is configured.
    fn tile(&mut self, tile: usize) -> Option<&mut Tile> {
        self.0.get_mut(tile).filter(|tile| tile.rows != 0)
    }

    /// Gives the tiles shapes and empties them. Byte 0 is the palette, bytes from 16 on are two for the length of a tile's rows, bytes from 48 on the
    /// numbers of rows; all others, also where an interrupted load goes on, have to be zero here.
    fn configure(&mut self, config: &[u8; 64]) -> Option<()> {
        let mut tiles = Self::NONE;
        for (number, tile) in tiles.0.iter_mut().enumerate() {
            tile.rows = usize::from(config[48 + number]);
            tile.row_len = usize::from(u16::from_le_bytes([
                config[16 + 2 * number],
                config[17 + 2 * number],
            ]));
        }
        let mut others = [1..16, 16 + 2 * TILES..48, 48 + TILES..64].into_iter().flatten();
        let is_valid = |tile: &Tile| {
            tile.rows <= ROWS && tile.row_len <= 4 * ROWS && (tile.rows == 0) == (tile.row_len == 0)
        };
        let is_known = config[0] == 1 && others.all(|at| config[at] == 0) && tiles.0.iter().all(is_valid);
        is_known.then(|| *self = tiles)
    }

    /// Adds to each sum of a row the products of that row of the first with a column of the second. Since what lies beyond a shape is zero, full tiles are
    /// multiplied.
    fn multiply(&mut self, numbers: [usize; 3]) -> Option<()> {
        let [sums, first, second] = self.0.get_disjoint_mut(numbers).ok()?;
        let is_shape = |tile: &Tile| tile.rows != 0 && tile.row_len.is_multiple_of(4);
        let fits = is_shape(sums) && is_shape(first) && is_shape(second);
        if !(fits
            && sums.rows == first.rows
            && first.row_len == 4 * second.rows
            && sums.row_len == second.row_len)
        {
            return None;
        }
        for (sums, first) in sums.fours.iter_mut().zip(&first.fours) {
            for (first, second) in first.iter().zip(&second.fours) {
                for (sum, second) in sums.iter_mut().zip(second) {
                    let product = |i: usize| i32::from(first[i]) * i32::from(second[i].cast_signed());
                    let products = product(0) + product(1) + product(2) + product(3);
                    *sum = i32::from_le_bytes(*sum).wrapping_add(products).to_le_bytes();
                }
            }
        }
        Some(())
    }
}

thread_local! {
    /// Needs no memory of its own and is not dropped, so that the handler may use it.
    static OWN: RefCell<Tiles> = const { RefCell::new(Tiles::NONE) };
}

/// Lets this process do without AMX, from now on; says so once. False where the system refuses a handler, or nobody can be told.
pub(super) fn install() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        // SAFETY: all zero is an action without flags; the handler has the signature that SA_SIGINFO asks for.
        let answer = unsafe {
            let mut action: sigaction = zeroed();
            action.sa_sigaction = on_illegal_instruction as *const () as usize;
            action.sa_flags = SA_SIGINFO;
            sigaction(SIGILL, &raw const action, ptr::null_mut())
        };
        // Not by a macro: the test harness would keep its text.
        let told = std::io::stderr().write_all(b"AMX is emulated: this processor has none\n");
        answer == 0 && told.is_ok()
    })
}

/// Handles SIGILL: allocates nothing, waits for nothing. Goes on to the first instruction that the processor knows, since a signal takes long.
extern "C" fn on_illegal_instruction(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: SA_SIGINFO gives the handler the context of the thread, which is its own until it returns. The instruction pointer points to what the
    // processor ran into, or would run into next.
    let steps = unsafe {
        let registers = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs;
        std::iter::from_fn(|| step(registers)).count()
    };
    if steps == 0 {
        // SAFETY: the instruction is met again and ends the process.
        unsafe { signal(SIGILL, SIG_DFL) };
    }
}

/// Does the instruction at the instruction pointer and moves the pointer behind it; nothing if it is not one of AMX, or a wrong one.
///
/// # Safety
/// The instruction pointer must point to code.
unsafe fn step(context: &mut [greg_t; 23]) -> Option<()> {
    let at = |place: c_int| usize::try_from(place).expect("places are not negative");
    let value = |place| usize::try_from(context[at(place)].cast_unsigned()).expect("registers of 64 bits");
    let registers = REGISTERS.map(value);
    let code = ptr::with_exposed_provenance::<u8>(value(REG_RIP));
    // SAFETY: the caller promises code, and only as much as belongs to the instruction is read.
    let bytes = (0..).map(|i| unsafe { code.add(i).read() });
    let (instruction, len) = decode(bytes, &registers)?;
    // SAFETY: whoever wrote the instruction promises the memory that it names.
    OWN.with(|own| unsafe { own.try_borrow_mut().ok()?.execute(instruction) })?;
    context[at(REG_RIP)] += i64::try_from(len).ok()?;
    Some(())
}

#[cfg(test)]
#[path = "emulation_tests.rs"]
mod tests;
