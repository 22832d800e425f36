//! Tests of remembered answers: the very question alone finds one, for a time, and no more than the limit are kept.

use super::*;

fn question() -> Question {
    Question {
        epoch: 1,
        principal: "/tenant/acme/scanner/a".to_owned(),
        request_id: "r".parse().expect("valid"),
        digest: [0; 32],
    }
}

#[test]
fn the_very_question_alone_finds_the_answer() {
    let answers = Answers::new(10, Duration::from_mins(1));
    answers.put(question(), 7);
    assert_eq!(answers.get(&question()), Some(7));
    let others: [fn(&mut Question); 4] = [
        |q| q.epoch = 2,
        |q| q.principal = "/tenant/acme/scanner/b".to_owned(),
        |q| q.request_id = "s".parse().expect("valid"),
        |q| q.digest = [1; 32],
    ];
    for change in others {
        let mut other = question();
        change(&mut other);
        assert_eq!(answers.get(&other), None, "{other:?}");
    }
}

#[test]
fn answers_age() {
    let answers = Answers::new(10, Duration::from_millis(20));
    answers.put(question(), 7);
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(answers.get(&question()), None);
}

#[test]
fn no_more_than_the_limit_are_kept() {
    let answers = Answers::new(5, Duration::from_mins(1));
    for epoch in 0..100 {
        answers.put(Question { epoch, ..question() }, epoch);
    }
    answers.0.run_pending_tasks();
    assert!(answers.0.entry_count() <= 5);
}
