//! Tests of rows with an undo.

use super::*;

fn table() -> Table<u8, char> {
    Table::new([(1, 'a'), (2, 'b'), (3, 'c')], [3, 4])
}

/// All that can be seen of it.
fn seen(table: Table<u8, char>) -> (Vec<(u8, char)>, [Vec<u8>; 3]) {
    let rows = table.iter().map(|(key, value)| (*key, *value)).collect();
    let keys = |rows: Vec<(u8, char)>| rows.into_iter().map(|(key, _)| key).collect();
    let diff = table.diff();
    (rows, [keys(diff.added), keys(diff.changed), diff.removed])
}

#[test]
fn what_was_not_looked_for_is_not_known_to_be_absent() {
    let table = table();
    assert_eq!(table.asked(&3, "letter"), Some(&'c'));
    assert_eq!(table.asked(&4, "letter"), None);
    let unknown = std::panic::catch_unwind(|| table.asked(&5, "letter").copied());
    let message = *unknown
        .expect_err("refused")
        .downcast::<String>()
        .expect("in words");
    assert!(
        message.starts_with("a letter is asked for that was not read"),
        "{message}"
    );
}

#[test]
fn changes_are_told_against_what_was_found() {
    let mut table = table();
    table.set(1, None);
    table.set(2, Some('x'));
    table.set(4, Some('d'));
    table.set(5, Some('e'));
    // Came and went, and went and came back.
    table.set(6, Some('f'));
    table.set(6, None);
    table.set(3, None);
    table.set(3, Some('y'));
    let rows = vec![(2, 'x'), (3, 'y'), (4, 'd'), (5, 'e')];
    assert_eq!(seen(table), (rows, [vec![4, 5], vec![2, 3], vec![1]]));
}

#[test]
fn an_undo_leaves_nothing_of_what_was_done_since_the_mark() {
    let mut table = table();
    table.set(1, None);
    table.set(4, Some('d'));
    table.mark();
    for (key, now) in [
        (1, Some('z')),
        (2, None),
        (2, Some('q')),
        (3, Some('r')),
        (4, None),
        (9, Some('s')),
    ] {
        table.set(key, now);
    }
    table.undo();
    assert!(!table.rows.contains_key(&9), "nothing is known of it again");
    let rows = vec![(2, 'b'), (3, 'c'), (4, 'd')];
    assert_eq!(seen(table), (rows, [vec![4], vec![], vec![1]]));
}
