//! Tests of the silence of a caller (its first byte, any later one, and what it says in between), of turns, and of settings without end.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::server::doors::{Doors, tests::limits};

const LIMIT: Duration = Duration::from_millis(200);

async fn pair(first_max: Duration, silence_max: Duration) -> (DuplexStream, CountedStream<DuplexStream>) {
    let (caller, server) = duplex(64);
    (caller, counted(server, first_max, silence_max).await)
}

async fn counted(
    server: DuplexStream,
    first_max: Duration,
    silence_max: Duration,
) -> CountedStream<DuplexStream> {
    let doors = Doors::new(&limits());
    let knock = doors.knock([192, 0, 2, 1].into(), doors.handshake().await);
    let place = doors
        .enter(knock.expect("let begin"), String::new())
        .expect("let in");
    CountedStream::new(server, place, first_max, silence_max)
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

#[tokio::test]
async fn others_have_their_turn_between_bytes_without_end() {
    let (caller, server) = duplex(8 * TURN_BYTES);
    let mut server = counted(server, Duration::from_hours(1), Duration::from_hours(1)).await;
    let mut caller = caller;
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // One frame of data that is longer than all that is read here.
    sent.extend([255, 255, 255, 0, 0, 0, 0, 0, 1]);
    sent.resize(4 * TURN_BYTES, 0);
    caller.write_all(&sent).await.expect("sent");
    let (mut read, mut turns) = (0, 1);
    let mut bytes = [0; 1 << 10];
    std::future::poll_fn(|cx| {
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut server).poll_read(cx, &mut buf) {
                Poll::Ready(outcome) => {
                    outcome.expect("read");
                    read += buf.filled().len();
                    if read == sent.len() {
                        return Poll::Ready(());
                    }
                }
                // Whoever reads is woken by itself, or this never ends.
                Poll::Pending => {
                    turns += 1;
                    return Poll::Pending;
                }
            }
        }
    })
    .await;
    assert_eq!(turns, 4);
}

#[tokio::test]
async fn settings_without_end_end_the_connection() {
    let (mut caller, server) = duplex(1 << 10);
    let mut server = counted(server, Duration::from_hours(1), Duration::from_hours(1)).await;
    let floods = async {
        caller.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        loop {
            caller.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
        }
    };
    let hears = async {
        let mut bytes = [0; 64];
        loop {
            if let Err(error) = server.read(&mut bytes).await {
                drop(server);
                return error;
            }
        }
    };
    let (flooded, error): (io::Result<()>, _) = tokio::join!(floods, hears);
    assert!(flooded.is_err(), "nobody listens any more");
    assert_eq!(
        error.to_string(),
        "the caller sends more frames that steer its connection than anybody needs"
    );
}
