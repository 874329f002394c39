//! `grpc.health.v1`.

use super::backends::Authority;
use super::http2::{Backend2, Reply, head};
use super::result;
use bytes::Bytes;
use http::HeaderMap;

/// An answer with these in its head, this message, and these in its trailers.
fn reply(fields: &[(&'static str, &str)], message: &'static [u8], status: Option<&str>) -> Reply {
    let mut answer = head(200);
    let headers = answer.headers_mut();
    headers.insert("content-type", "application/grpc+proto".parse().unwrap());
    for (name, value) in fields {
        headers.insert(*name, value.parse().unwrap());
    }
    let trailers = status.map(|status| {
        HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())])
    });
    let message = (!message.is_empty()).then(|| Bytes::from_static(message));
    Reply::whole(answer, message, trailers)
}

#[tokio::test]
async fn serving_is_a_pass_and_nothing_else_is() {
    let message = |status: u8| -> &'static [u8] {
        match status {
            1 => &[0, 0, 0, 0, 2, 8, 1],
            2 => &[0, 0, 0, 0, 2, 8, 2],
            _ => &[0, 0, 0, 0, 2, 8, 3],
        }
    };
    for (reply, want) in [
        (reply(&[], message(1), Some("0")), Ok("SERVING")),
        (reply(&[], message(2), Some("0")), Err("NOT_SERVING")),
        (reply(&[], message(3), Some("0")), Err("SERVICE_UNKNOWN")),
        (reply(&[], b"\0\0\0\0\0", Some("0")), Err("UNKNOWN")),
        // Without a message: trailers only.
        (
            reply(&[("grpc-status", "12")], b"", None),
            Err("grpc status 12 UNIMPLEMENTED: it has no grpc.health.v1.Health"),
        ),
        (
            reply(&[("grpc-status", "5")], b"", None),
            Err("grpc status 5 NOT_FOUND: it does not know \"shop.v1.Orders\""),
        ),
        (reply(&[], b"", Some("14")), Err("grpc status 14 UNAVAILABLE")),
        (reply(&[], message(1), Some("13")), Err("grpc status 13 INTERNAL")),
        (reply(&[], b"\0\0", Some("0")), Err("the answer's message cannot be read")),
        (
            reply(&[("content-type", "text/html")], b"<html>", None),
            Err("the answer is not gRPC: its content-type is another"),
        ),
        (Reply::whole(head(404), None, None), Err("the answer is not gRPC: status 404")),
    ] {
        let backend = Backend2::start(reply, None).await;
        let health = "type = 'grpc'\nservice = 'shop.v1.Orders'";
        let seen = result(health, "", backend.address).await;
        let want = want.map_or_else(|why| (false, why.to_owned()), |why| (true, why.to_owned()));
        assert_eq!(seen, want);
        let (request, body) = backend.requests.lock().remove(0);
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(request.headers()["grpc-timeout"], "10000m");
        assert_eq!(body[..7], [0, 0, 0, 0, 16, 0x0a, 14]);
        assert_eq!(&body[7..], b"shop.v1.Orders");
    }
}

#[tokio::test]
async fn grpc_is_asked_by_tls_too() {
    let ours = Authority::new();
    super::compile("", "");
    let serving = reply(&[], &[0, 0, 0, 0, 2, 8, 1], Some("0"));
    let config = ours.config("127.0.0.1", 1, &["h2"]);
    let backend = Backend2::start(serving, Some(config)).await;
    let seen = result("type = 'grpc'", &ours.pool(""), backend.address).await;
    assert_eq!(seen, (true, "SERVING".to_owned()));
    let (request, body) = backend.requests.lock().remove(0);
    assert_eq!(request.uri().scheme_str(), Some("https"));
    assert_eq!(body, [0; 5]);
}
