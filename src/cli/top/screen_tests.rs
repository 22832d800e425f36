//! Test of what is written to a terminal.

use super::*;

#[test]
fn lines_are_cut_to_the_terminal_and_take_the_place_of_former_ones() {
    assert_eq!(
        drawn("µeasure\nab\n\nlast", 4, 3),
        "\x1b[Hµeas\x1b[K\r\nab\x1b[K\r\n\x1b[K\x1b[J"
    );
    assert_eq!(drawn("a\nb", 80, 24), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J");
}
