//! Wires between a client and a server of this test.

use tokio::time::timeout;

use super::*;

/// Longest wait for what comes.
const LONG: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET /palms/one HTTP/1.1\r\nhost: store\r\n\r\n";

/// A server that answers each piece with so many bytes of 7, and a wire to it.
async fn wired(answer_len: usize) -> (Wire, String) {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = server.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            tokio::spawn(async move {
                let mut piece = [0; 1 << 10];
                while stream.read(&mut piece).await.is_ok_and(|len| len > 0) {
                    if stream.write_all(&vec![7; answer_len]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Wire::tcp(move || End::Tcp(address.clone()))
        .await
        .expect("a wire")
}

async fn ask(stream: &mut TcpStream, request: &[u8], len: usize) -> Result<Vec<u8>> {
    stream.write_all(request).await?;
    let mut answer = vec![0; len];
    timeout(LONG, stream.read_exact(&mut answer))
        .await
        .expect("in time")?;
    Ok(answer)
}

#[tokio::test]
async fn what_is_sent_while_a_wire_is_cut_arrives_once_it_is_open() {
    let (wire, address) = wired(4).await;
    let mut before = TcpStream::connect(&address).await.expect("connected");
    assert_eq!(ask(&mut before, b"hello", 4).await.expect("answered"), [7; 4]);
    wire.set(Condition::Cut);
    let mut meanwhile = TcpStream::connect(&address).await.expect("it seems so");
    for stream in [&mut before, &mut meanwhile] {
        stream.write_all(b"hello").await.expect("taken");
    }
    // The test's clock need not wait for it: nothing can come.
    let mut answer = [0; 4];
    let heard = timeout(Duration::from_millis(50), before.read(&mut answer)).await;
    assert!(heard.is_err(), "{heard:?}");
    wire.set(Condition::Open);
    for stream in [&mut before, &mut meanwhile] {
        timeout(LONG, stream.read_exact(&mut answer))
            .await
            .expect("in time")
            .expect("whole");
        assert_eq!(answer, [7; 4]);
    }
}

#[tokio::test]
async fn answers_of_a_broken_wire_end_in_their_middle() {
    let (wire, address) = wired(100).await;
    wire.set(Condition::Broken);
    let mut broken = 0;
    for _ in 0..2 * SPOILED {
        let mut stream = TcpStream::connect(&address).await.expect("connected");
        stream.write_all(REQUEST).await.expect("sent");
        stream.shutdown().await.expect("no more");
        let mut answer = Vec::new();
        let ended = timeout(LONG, stream.read_to_end(&mut answer))
            .await
            .expect("in time");
        broken += usize::from(ended.is_err() || answer.len() == 50);
    }
    assert_eq!(broken, 2);
}

#[tokio::test]
async fn only_the_content_of_objects_is_spoiled_by_a_wrong_wire() {
    let len = 2 * OBJECT_LEN_MIN;
    let (wire, address) = wired(len).await;
    wire.set(Condition::Wrong);
    let mut stream = TcpStream::connect(&address).await.expect("connected");
    let listing = b"GET /palms?list-type=2 HTTP/1.1\r\n\r\n";
    for (request, expected) in [
        (REQUEST, 2),
        (&listing[..], 0),
        (b"PUT /palms/one HTTP/1.1\r\n\r\n", 0),
    ] {
        let mut spoiled = 0;
        for _ in 0..2 * SPOILED {
            let answer = ask(&mut stream, request, len).await.expect("answered");
            let wrong = answer.iter().filter(|byte| **byte != 7).count();
            assert!(wrong <= 1);
            spoiled += wrong;
        }
        assert_eq!(spoiled, expected, "{}", String::from_utf8_lossy(request));
    }
}

#[tokio::test]
async fn a_busy_store_refuses_some_and_ends_the_others() {
    let (wire, address) = wired(4).await;
    let mut before = TcpStream::connect(&address).await.expect("connected");
    ask(&mut before, REQUEST, 4).await.expect("answered");
    wire.set(Condition::Busy);
    before.write_all(REQUEST).await.expect("sent");
    let mut answer = Vec::new();
    let ended = timeout(LONG, before.read_to_end(&mut answer))
        .await
        .expect("in time");
    assert!(ended.is_err() || answer.is_empty(), "{answer:?}");
    let mut refused = 0;
    for _ in 0..4 {
        let mut stream = TcpStream::connect(&address).await.expect("connected");
        stream
            .write_all(b"PUT /palms/one HTTP/1.1\r\nContent-Length: 3\r\n\r\nab")
            .await
            .expect("sent");
        stream.write_all(b"c").await.expect("sent");
        answer.clear();
        let _ = timeout(LONG, stream.read_to_end(&mut answer))
            .await
            .expect("in time");
        refused += usize::from(answer == BUSY);
    }
    assert_eq!(refused, 2);
}

#[tokio::test]
async fn a_socket_s_file_leads_elsewhere_for_who_connects_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let servers = [&one, &two].map(|path| UnixListener::bind(path).expect("bound"));
    let target = Arc::new(std::sync::Mutex::new(one));
    let leads = Arc::clone(&target);
    let end = move || End::Unix(leads.lock().expect("no panic").clone());
    let _wire = Wire::unix(&dir.path().join("wire"), end).expect("a wire");
    for server in servers {
        let mut client = UnixStream::connect(dir.path().join("wire"))
            .await
            .expect("connected");
        client.write_all(b"x").await.expect("sent");
        let (mut there, _) = timeout(LONG, server.accept())
            .await
            .expect("in time")
            .expect("accepted");
        assert_eq!(there.read_u8().await.expect("arrived"), b'x');
        *target.lock().expect("no panic") = two.clone();
    }
}

#[test]
fn busy_says_how_long_it_is() {
    let text = String::from_utf8_lossy(BUSY);
    let (head, content) = text.split_once("\r\n\r\n").expect("a head");
    assert!(
        head.contains(&format!("content-length: {}\r", content.len())),
        "{}",
        content.len()
    );
}
