//! Tests of the time that a body may take.

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use tonic::Code;

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
async fn a_body_has_one_time_for_all_of_its_parts() {
    let late = read(Timed::wrap(parts(PART), 2 * PART))
        .await
        .expect_err("too late");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    let read = read(Timed::wrap(parts(PART), 20 * PART));
    assert_eq!(read.await.expect("in time"), 3);
}
