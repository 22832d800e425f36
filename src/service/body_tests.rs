//! Tests of the time that a body may take: as a whole, or for its next part.

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};

use super::*;

const PART: Duration = Duration::from_millis(40);

/// Three parts, each so long after the other.
fn parts(every: Duration) -> Body {
    let parts = stream::iter(0..3u8).then(move |n| async move {
        tokio::time::sleep(every).await;
        Ok::<_, Status>(Frame::data(Bytes::from(vec![n])))
    });
    Body::new(StreamBody::new(parts.boxed()))
}

async fn read(body: Body) -> Result<usize, Status> {
    Ok(body.collect().await?.to_bytes().len())
}

#[tokio::test]
async fn a_whole_body_has_one_time_and_parts_have_one_each() {
    assert_eq!(
        read(Timed::wrap(parts(PART), Patience::Part(2 * PART)))
            .await
            .expect("in time"),
        3
    );
    let late = read(Timed::wrap(parts(PART), Patience::Whole(2 * PART)))
        .await
        .expect_err("too late");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    let late = read(Timed::wrap(parts(2 * PART), Patience::Part(PART)))
        .await
        .expect_err("too late");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    assert_eq!(
        read(Timed::wrap(parts(PART), Patience::Whole(20 * PART)))
            .await
            .expect("in time"),
        3
    );
}

#[tokio::test]
async fn the_time_between_two_questions_is_not_the_senders() {
    let mut body = Timed::wrap(parts(PART), Patience::Part(3 * PART));
    body.frame().await.expect("the first").expect("in time");
    // Whoever works on a part for long asks late, and the next part is on its way only then.
    tokio::time::sleep(4 * PART).await;
    assert_eq!(read(body).await.expect("in time"), 2);
}
