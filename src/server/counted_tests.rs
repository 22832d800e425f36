//! Tests of the silence of a caller: its first byte, any later one, and what it says in between.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::server::doors::{Doors, tests::limits};

const LIMIT: Duration = Duration::from_millis(200);

async fn pair(first_max: Duration, silence_max: Duration) -> (DuplexStream, CountedStream<DuplexStream>) {
    let (caller, server) = duplex(64);
    let doors = Doors::new(&limits());
    let knock = doors.knock([192, 0, 2, 1].into(), doors.handshake().await);
    let place = doors
        .enter(knock.expect("let begin"), String::new())
        .expect("let in");
    (caller, CountedStream::new(server, place, first_max, silence_max))
}

#[tokio::test]
async fn a_caller_that_says_nothing_is_cut_off() {
    let (_caller, mut server) = pair(LIMIT, Duration::from_hours(1)).await;
    let read = tokio::time::timeout(50 * LIMIT, server.read_u8()).await;
    let error = read.expect("cut off").expect_err("silent");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_caller_that_falls_silent_is_cut_off_and_one_that_speaks_is_not() {
    let (mut caller, mut server) = pair(Duration::from_hours(1), LIMIT).await;
    caller.write_u8(1).await.expect("sent");
    assert_eq!(server.read_u8().await.expect("heard"), 1);
    server.silent.as_mut().reset(Instant::now() + LIMIT);
    let speaks = async {
        for _ in 0..16 {
            tokio::time::sleep(LIMIT / 8).await;
            caller.write_u8(2).await.expect("sent");
        }
    };
    let hears = async {
        for _ in 0..16 {
            server.read_u8().await.expect("heard");
        }
        tokio::time::timeout(50 * LIMIT, server.read_u8())
            .await
            .expect("cut off")
    };
    let ((), end) = tokio::join!(speaks, hears);
    assert_eq!(end.expect_err("silent at last").kind(), io::ErrorKind::TimedOut);
}
