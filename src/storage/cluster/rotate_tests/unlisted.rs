//! A rotation beside segments that are listed no more.

use super::*;

#[test]
fn a_segment_that_is_listed_no_more_holds_no_rotation_up() {
    let Some(world) = World::new() else { return };
    let node = world.open(KEY_GENERATION).expect("opened");
    let other = world.stopped.shared();
    let listed = other.all_objects().expect("read");
    let is_whole = |number: &u32| {
        let listed = other.load_segment(*number).expect("read").1.expect("there");
        listed.dead.is_empty() && !listed.members.is_empty()
    };
    let from = BTreeSet::from([*listed.keys().find(|number| is_whole(number)).expect("one is")]);
    let before = world.rows(&node);
    let (asked, merged) = (Cell::new(0), Cell::new(0));
    let goes_on = || {
        asked.set(asked.get() + 1);
        if asked.get() == 1 {
            let objects = other.objects(&from).expect("read");
            let ulids = objects
                .iter()
                .map(|(number, object)| (*number, object.ulid))
                .collect();
            let objects: Vec<SegmentObject> = objects.into_values().collect();
            let put = world
                .segments
                .merge(&node.keys, &objects, |ulid| other.intend(ulid));
            let (object, ids) = put.expect("put");
            merged.set(other.warm_merged(object, &ids, &ulids).expect("listed"));
        }
        // The last one of the second round is that one.
        if asked.get() == 2 * listed.len() + 1 {
            assert!(other.withdraw(merged.get()).expect("asked"));
        }
        Ok(())
    };
    assert!(
        world
            .rotate(&node, &world.next(2, None), &goes_on)
            .expect("rotated")
    );
    assert!(asked.get() > 2 * listed.len() + 1, "all were looked at once more");
    let next = world.open(2).expect("opened");
    assert_eq!(world.rows(&next), before);
    assert_eq!(world.files(2), listed.len(), "its copy is gone");
    world.purge(&next);
    assert_eq!(world.files(1), 0);
}
