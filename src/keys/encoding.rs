//! Bytes as text: hexadecimal both ways and base64 (RFC 4648) to read. Decoded bytes are wiped when dropped; says nothing of what they mean.

use zeroize::Zeroizing;

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(*HEX_DIGITS.get(usize::from(nibble)).expect("a nibble is below 16"));
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// The bytes of hexadecimal digits of either case; `None` for anything else.
pub fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        let value = |digit: &u8| char::from(*digit).to_digit(16);
        let byte = value(high)? << 4 | value(low)?;
        bytes.push(u8::try_from(byte).ok()?);
    }
    Some(bytes)
}

/// The bytes of base64 text in the standard or the URL-safe alphabet, padded or not; `None` for anything else.
pub fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.trim_end_matches('=');
    let padded = text.len() != digits.len();
    if text.len() - digits.len() > 2 || (padded && !text.len().is_multiple_of(4)) || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() * 3 / 4));
    let (mut held, mut held_bits) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        held_bits += 6;
        if held_bits >= 8 {
            held_bits -= 8;
            bytes.push(u8::try_from(held >> held_bits).ok()?);
            held &= (1 << held_bits) - 1;
        }
    }
    // Bits left over must be zero, so that one text stands for one key.
    (held == 0).then_some(bytes)
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
