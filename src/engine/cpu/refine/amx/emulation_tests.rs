//! Tests of the emulated tiles: encodings and a product by hand, products by a plain statement and, where there are tiles, by the processor.

use std::arch::asm;
use std::array::from_fn;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use rand::RngExt as _;

use super::*;
use crate::engine::config::Kernel;
use crate::engine::cpu::refine::amx::{TileConfig, is_native};
use crate::engine::samples::rng;

/// Names the instruction that a process of its own is to end at.
const ENDING: &str = "THENAR_TEST_ENDING";

/// A configuration of tiles of so many rows of so many bytes.
fn config(shapes: &[(usize, usize)]) -> TileConfig {
    let mut config = TileConfig([0; 64]);
    config.0[0] = 1;
    for (tile, (rows, row_len)) in shapes.iter().enumerate() {
        config.0[48 + tile] = u8::try_from(*rows).expect("few");
        config.0[16 + 2 * tile] = u8::try_from(*row_len).expect("few");
    }
    config
}

#[test]
fn instructions_are_read_as_the_manual_writes_them() {
    // rax is 1000, rcx 1100, ... r15 2500.
    let registers = from_fn(|i| 1_000 + 100 * i);
    let configure = |from| Instruction::Configure { from };
    let load = |tile, from, stride| Instruction::Load { tile, from, stride };
    let store = |tile, to, stride| Instruction::Store { tile, to, stride };
    let multiply = |sums, first, second| Instruction::Multiply { sums, first, second };
    for (code, wanted) in [
        // ldtilecfg [rax]; [r13 - 8]; [r12 + 2 * r9 + 16]
        (&[0xc4, 0xe2, 0x78, 0x49, 0x00][..], configure(1_000)),
        (&[0xc4, 0xc2, 0x78, 0x49, 0x45, 0xf8], configure(2_292)),
        (&[0xc4, 0x82, 0x78, 0x49, 0x44, 0x4c, 16], configure(6_016)),
        (&[0xc4, 0xe2, 0x78, 0x49, 0xc0], Instruction::Release),
        (&[0xc4, 0xe2, 0x7b, 0x49, 0xd8], Instruction::Zero { tile: 3 }),
        // tileloadd tmm4, [rdi + rsi]; tmm7, [4 * r12 + 64]; tmm1, [rsp]
        (&[0xc4, 0xe2, 0x7b, 0x4b, 0x24, 0x37], load(4, 1_700, 1_600)),
        (
            &[0xc4, 0xa2, 0x7b, 0x4b, 0x3c, 0xa5, 64, 0, 0, 0],
            load(7, 64, 8_800),
        ),
        (&[0xc4, 0xe2, 0x7b, 0x4b, 0x0c, 0x24], load(1, 1_400, 0)),
        // tilestored [r8 + 8 * rcx + 3072], tmm2; [rbp + rax - 1], tmm0
        (
            &[0xc4, 0xc2, 0x7a, 0x4b, 0x94, 0xc8, 0, 12, 0, 0],
            store(2, 4_872, 8_800),
        ),
        (
            &[0xc4, 0xe2, 0x7a, 0x4b, 0x44, 0x05, 0xff],
            store(0, 1_499, 1_000),
        ),
        // tdpbusd tmm0, tmm4, tmm6; tmm3, tmm5, tmm7
        (&[0xc4, 0xe2, 0x49, 0x5e, 0xc4], multiply(0, 4, 6)),
        (&[0xc4, 0xe2, 0x41, 0x5e, 0xdd], multiply(3, 5, 7)),
    ] {
        // What follows is another instruction.
        let all = code.iter().copied().chain([0x0f, 0x0b]);
        assert_eq!(decode(all, &registers), Some((wanted, code.len())), "{code:x?}");
        let cut = code.iter().copied().take(code.len() - 1);
        assert_eq!(decode(cut, &registers), None, "{code:x?} cut");
    }
}

#[test]
fn other_instructions_are_not_known() {
    for code in [
        &[0x0f, 0x0b][..],
        // tdpbusd of 256 bits, with W 1, of another map, from memory, of tiles 8 to 15; tdpbssd.
        &[0xc4, 0xe2, 0x4d, 0x5e, 0xc4],
        &[0xc4, 0xe2, 0xc9, 0x5e, 0xc4],
        &[0xc4, 0xe1, 0x49, 0x5e, 0xc4],
        &[0xc4, 0xe2, 0x49, 0x5e, 0x04, 0x24],
        &[0xc4, 0x62, 0x49, 0x5e, 0xc4],
        &[0xc4, 0xc2, 0x49, 0x5e, 0xc4],
        &[0xc4, 0xe2, 0x09, 0x5e, 0xc4],
        &[0xc4, 0xe2, 0x4b, 0x5e, 0xc4],
        // A load of the form that has no index; one with a third operand; sttilecfg; ldtilecfg [rip + 256].
        &[0xc4, 0xe2, 0x7b, 0x4b, 0x20],
        &[0xc4, 0xe2, 0x73, 0x4b, 0x24, 0x37],
        &[0xc4, 0xe2, 0x79, 0x49, 0x00],
        &[0xc4, 0xe2, 0x78, 0x49, 0x05, 0, 1, 0, 0],
    ] {
        assert_eq!(decode(code.iter().copied(), &[0; 16]), None, "{code:x?}");
    }
}

/// Bytes of a matrix and sums: what a product is made of. Tiles 0, 1 and 2 have the shapes of the sums, the rows and the columns.
struct Operands {
    config: TileConfig,
    sums: [i32; 256],
    rows: [u8; 1_024],
    columns: [u8; 1_024],
}

impl Operands {
    /// Sums plus the product, by instructions, laid over sevens. Rows lie 64 bytes apart.
    fn multiplied(&self) -> [i32; 256] {
        let mut after = [7; 256];
        // SAFETY: the test looked whether there are tiles, of hardware or emulated; no tile is larger than what is read or written.
        unsafe {
            asm!(
                "ldtilecfg [{config}]",
                "tileloadd tmm0, [{sums}+{len}*1]",
                "tileloadd tmm1, [{rows}+{half_len}*2]",
                "tileloadd tmm2, [{columns}+{len}*1-256]",
                "tdpbusd tmm0, tmm1, tmm2",
                "tilestored [{after}+{len}*1], tmm0",
                "tilerelease",
                config = in(reg) &raw const self.config,
                sums = in(reg) self.sums.as_ptr(),
                rows = in(reg) self.rows.as_ptr(),
                columns = in(reg) self.columns.as_ptr().wrapping_add(256),
                after = in(reg) after.as_mut_ptr(),
                len = in(reg) 64_usize,
                half_len = in(reg) 32_usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _,
                options(nostack)
            );
        }
        after
    }

    /// The same by the emulation alone.
    fn emulated(&self) -> Option<[i32; 256]> {
        let mut after = [7; 256];
        let mut tiles = Tiles::NONE;
        let stride = 64;
        let load = |tile, from| Instruction::Load { tile, from, stride };
        for instruction in [
            Instruction::Configure {
                from: (&raw const self.config).expose_provenance(),
            },
            load(0, self.sums.as_ptr().expose_provenance()),
            load(1, self.rows.as_ptr().expose_provenance()),
            load(2, self.columns.as_ptr().expose_provenance()),
            Instruction::Multiply {
                sums: 0,
                first: 1,
                second: 2,
            },
            Instruction::Store {
                tile: 0,
                to: after.as_mut_ptr().expose_provenance(),
                stride,
            },
        ] {
            // SAFETY: as above.
            unsafe { tiles.execute(instruction) }?;
        }
        Some(after)
    }
}

/// Operands of every number of rows, fours of bytes and columns, in turn, and the sums as they have to be.
fn samples() -> impl Iterator<Item = (Operands, [i32; 256])> {
    let mut rng = rng(1);
    (0..64).map(move |turn| {
        let [m, k, n] = [16 - turn % 16, 16 - turn / 3 % 16, 16 - turn / 5 % 16];
        let operands = Operands {
            config: config(&[(m, 4 * n), (m, 4 * k), (k, 4 * n)]),
            sums: from_fn(|_| rng.random()),
            rows: from_fn(|_| rng.random()),
            columns: from_fn(|_| rng.random()),
        };
        let wanted = from_fn(|at| {
            let (row, column) = (at / 16, at % 16);
            if row >= m || column >= n {
                return 7;
            }
            let signed = |i: usize| operands.columns[i / 4 * 64 + column * 4 + i % 4].cast_signed();
            let products = (0..4 * k).map(|i| i32::from(operands.rows[row * 64 + i]) * i32::from(signed(i)));
            operands.sums[at].wrapping_add(products.sum())
        });
        (operands, wanted)
    })
}

#[test]
fn a_product_by_hand() {
    if !Kernel::Amx.is_supported() {
        println!("SKIPPED: no AMX int8, and no AVX-512 to emulate it beside");
        return;
    }
    let mut operands = Operands {
        config: config(&[(2, 8), (2, 4), (1, 8)]),
        sums: [9; 256],
        rows: [9; 1_024],
        columns: [9; 1_024],
    };
    operands.rows[..4].copy_from_slice(&[1, 2, 3, 255]);
    operands.rows[64..68].copy_from_slice(&[200, 0, 0, 128]);
    operands.columns[..8].copy_from_slice(&[1_i8, -1, 2, -128, 127, 127, -128, -1].map(i8::cast_unsigned));
    operands.sums[..2].copy_from_slice(&[1_000, 0]);
    operands.sums[16..18].copy_from_slice(&[i32::MIN, 5]);
    let mut wanted = [7; 256];
    wanted[..2].copy_from_slice(&[1_000 + 1 - 2 + 6 - 255 * 128, 127 + 254 - 384 - 255]);
    wanted[16..18].copy_from_slice(&[i32::MAX - (128 * 128 - 200 - 1), 5 + 200 * 127 - 128]);
    assert_eq!(operands.multiplied(), wanted);
    assert_eq!(operands.emulated(), Some(wanted));
}

#[test]
fn products_are_those_of_matrices() {
    for (turn, (operands, wanted)) in samples().enumerate() {
        assert_eq!(operands.emulated(), Some(wanted), "sample {turn}");
    }
}

#[test]
fn hardware_and_emulation_agree() {
    if !is_native() {
        println!("SKIPPED: this processor or system has no AMX int8 to compare the emulation with");
        return;
    }
    for (turn, (operands, _)) in samples().enumerate() {
        assert_eq!(Some(operands.multiplied()), operands.emulated(), "sample {turn}");
    }
}

#[test]
fn a_configuration_empties_tiles_and_a_zero_one_of_them() {
    let mut tiles = Tiles::NONE;
    let full = config(&[(16, 64); 8]).0;
    tiles.configure(&full).expect("valid");
    let is_filled = |tile: Tile| tile.fours.as_flattened().as_flattened().contains(&9);
    for tile in &mut tiles.0 {
        tile.fours = [[[9; 4]; 16]; 16];
    }
    // SAFETY: the instruction names no memory.
    unsafe { tiles.execute(Instruction::Zero { tile: 6 }) }.expect("configured");
    assert_eq!(tiles.0.map(is_filled), from_fn(|tile| tile != 6));
    tiles.configure(&full).expect("valid");
    assert_eq!(tiles.0.map(is_filled), [false; 8]);
}

#[test]
fn what_a_processor_refuses_is_refused() {
    let mut tiles = Tiles::NONE;
    assert_eq!(tiles.multiply([0, 4, 6]), None, "nothing is configured");
    assert!(tiles.tile(0).is_none());
    let mut full = config(&[(16, 64); 8]).0;
    tiles.configure(&full).expect("valid");
    assert_eq!(tiles.multiply([0, 4, 6]), Some(()));
    assert_eq!(tiles.multiply([0, 4, 0]), None, "one tile twice");
    for (at, value) in [
        (0, 2),
        (1, 1),
        (2, 1),
        (16, 65),
        (17, 1),
        (33, 1),
        (48, 17),
        (49, 0),
        (56, 1),
    ] {
        let before = std::mem::replace(&mut full[at], value);
        assert_eq!(tiles.configure(&full), None, "byte {at} is {value}");
        full[at] = before;
    }
    for (tile, shape) in [
        (0, (15, 64)),
        (0, (16, 60)),
        (4, (16, 60)),
        (6, (15, 64)),
        (4, (16, 63)),
        (4, (0, 0)),
    ] {
        let mut shapes = [(16, 64); 8];
        shapes[tile] = shape;
        tiles.configure(&config(&shapes).0).expect("valid");
        assert_eq!(tiles.multiply([0, 4, 6]), None, "tile {tile} is {shape:?}");
    }
}

#[test]
fn what_is_not_emulated_ends_the_process() {
    if !Kernel::Amx.is_supported() {
        println!("SKIPPED: no AMX int8, and no AVX-512 to emulate it beside");
        return;
    }
    if let Ok(instruction) = std::env::var(ENDING) {
        // SAFETY: the process ends here, and should it not, nothing was touched but a tile.
        unsafe {
            match &*instruction {
                "undefined" => asm!("ud2"),
                "unconfigured" => asm!("tilezero tmm0", out("tmm0") _),
                _ => asm!("tilerelease", "tilezero tmm0", out("tmm0") _),
            }
        }
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let module = module_path!().split_once("::").expect("a module of the crate").1;
    let test = format!("{module}::what_is_not_emulated_ends_the_process");
    for instruction in ["undefined", "unconfigured", "released"] {
        let mut command = Command::new(&program);
        command.args(["--exact", &test]).env(ENDING, instruction);
        let output = command.output().expect("started");
        assert_eq!(output.status.signal(), Some(SIGILL), "{instruction}: {output:?}");
    }
}
