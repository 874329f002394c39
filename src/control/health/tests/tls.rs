//! HTTPS.

use super::backends::{Act, Authority, Backend, answer};
use super::{SHORT, result};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_backend_proves_who_it_is() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    super::compile("", "");
    for (name, days, pool, want) in [
        ("127.0.0.1", 1, ours.pool(""), Ok("status 200")),
        ("a.test", 1, ours.pool("server_name = 'a.test'"), Ok("status 200")),
        ("a.test", 1, ours.pool(""), Err("tls: certificate is not for 127.0.0.1")),
        (
            "a.test",
            1,
            ours.pool("server_name = 'b.test'"),
            Err("tls: certificate is not for b.test"),
        ),
        ("127.0.0.1", -1, ours.pool(""), Err("tls: certificate expired")),
        ("127.0.0.1", 1, theirs.pool(""), Err("tls: certificate of an unknown authority")),
        ("127.0.0.1", 1, "tls = {}".into(), Err("tls: certificate of an unknown authority")),
        ("a.test", -1, "tls = { verify = false }".into(), Ok("status 200")),
    ] {
        let backend = Backend::start_with(answer(OK), Some(ours.config(name, days, &[]))).await;
        let seen = result("", &pool, backend.address).await;
        let want = want.map_or_else(|why| (false, why.to_owned()), |why| (true, why.to_owned()));
        assert_eq!(seen, want, "{name} {pool}");
        backend.all_closed().await;
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_named() {
    let ours = Authority::new();
    for (script, want) in [
        (answer(OK), "timeout after 200ms (in the TLS handshake)"),
        (vec![Act::Say("220 mail.test\r\n".into()), Act::Wait], "tls: the backend does not speak"),
        (vec![], "in the TLS handshake"),
    ] {
        let backend = Backend::start(script.clone()).await;
        let (is_pass, why) = result(SHORT, &ours.pool(""), backend.address).await;
        assert!(!is_pass && why.contains(want), "{script:?}: {why}");
    }
}

#[tokio::test]
async fn tls_is_as_the_pool_unless_the_check_says() {
    let ours = Authority::new();
    super::compile("", "");
    let plain = Backend::start(answer(OK)).await;
    let secure = Backend::start_with(answer(OK), Some(ours.config("127.0.0.1", 1, &[]))).await;
    for (health, address, want) in [
        ("", secure.address, true),
        ("tls = false", plain.address, true),
        ("type = 'tcp'", secure.address, true),
        ("type = 'tcp'\ntls = false", secure.address, true),
        ("timeout = '200ms'\ntype = 'tcp'", plain.address, false),
    ] {
        assert_eq!(result(health, &ours.pool(""), address).await.0, want, "{health}");
    }
}

#[tokio::test]
async fn a_backend_that_asks_for_it_gets_our_certificate() {
    let ours = Authority::new();
    super::compile("", "");
    let config = ours.strict_config("127.0.0.1");
    let backend = Backend::start_with(answer(OK), Some(config)).await;
    let (is_pass, why) = result("", &ours.pool(""), backend.address).await;
    assert!(!is_pass && why.contains("CertificateRequired"), "{why}");
    let pool = ours.pool(&format!("certificate_file = {:?}", ours.client()));
    assert_eq!(result("", &pool, backend.address).await, (true, "status 200".to_owned()));
}
