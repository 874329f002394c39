//! Redis: how it is reached, and what is seen of it. What is shared through it is in the files of
//! what is shared.

use crate::harness::authority::Authority;
use crate::harness::redis::{RedisServer, SlowWay};
use crate::harness::vanne::binary;
use crate::harness::{Vanne, eventually};
use std::process::Command;

/// A proxy that answers by itself, and has this in `[redis]`.
async fn vanne(redis: &str) -> Vanne {
    Vanne::start(&format!(
        "admin.socket = \"@dir/admin.sock\"\n[redis]\n{redis}\n\
         [[route]]\nname = \"own\"\nanswer.body = \"own\"\n"
    ))
    .await
}

async fn is_up(vanne: &Vanne, is_up: bool) {
    vanne.metric_is("vanne_redis_up", &[], f64::from(u8::from(is_up))).await;
}

#[tokio::test]
async fn metric_and_log_say_whether_redis_is_there() {
    let mut server = RedisServer::start().await;
    let vanne = vanne(&format!("address = \"{}\"", server.address)).await;
    is_up(&vanne, true).await;
    server.kill();
    is_up(&vanne, false).await;
    let socket = vanne.file("admin.sock");
    let status = Command::new(binary()).arg("status").arg("--socket").arg(socket).output().unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains(&format!("{} is away", server.address)), "{status}");
    server.restart().await;
    is_up(&vanne, true).await;
    server.freeze();
    is_up(&vanne, false).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    server.thaw();
    is_up(&vanne, true).await;
    let says = |text: &str| vanne.process_log().matches(text).count();
    eventually("a line for each change", || {
        (says("redis is there") == 3 && says("redis is away") == 2).then_some(())
    })
    .await;
    let failed = async |reason| {
        let labels = [("reason", reason)];
        vanne.metrics().await.value("vanne_redis_failures_total", &labels).unwrap()
    };
    assert!(failed("connection").await > 0.0 && failed("timeout").await >= 2.0);
}

#[tokio::test]
async fn a_redis_that_is_not_there_at_the_start_holds_nothing_up() {
    let mut server = RedisServer::start().await;
    server.kill();
    let vanne = vanne(&format!("address = \"{}\"", server.address)).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    is_up(&vanne, false).await;
    server.restart().await;
    is_up(&vanne, true).await;
    assert_eq!(vanne.process_log().matches("redis cannot be reached").count(), 1);
}

#[tokio::test]
async fn redis_may_want_tls_a_user_and_a_password() {
    let authority = Authority::new();
    let signed = authority.sign(&["localhost"]);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = (file("cert.pem", &signed.pem), file("key.pem", &signed.key_pem));
    let (ca, password) = (file("ca.pem", ""), file("password", "s3cret\n"));
    authority.write(std::path::Path::new(&ca));
    let server = RedisServer::with(&[
        "--port",
        "0",
        "--tls-port",
        "@port",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
        "--user",
        "vanne",
        "on",
        ">s3cret",
        "~*",
        "+@all",
        "--user",
        "default",
        "off",
    ])
    .await;
    let address = format!("address = \"rediss://localhost:{}\"", server.address.port());
    let whole =
        format!("{address}\nca_file = \"{ca}\"\nuser = \"vanne\"\npassword_file = \"{password}\"");
    let vanne = vanne(&whole).await;
    is_up(&vanne, true).await;
    let other = file("other", "wrong");
    for (from, to) in [
        (format!("ca_file = \"{ca}\"\n"), String::new()),
        (format!("\"{password}\""), format!("\"{other}\"")),
        ("user = \"vanne\"\n".to_owned(), String::new()),
    ] {
        let config = |redis: &str| {
            format!(
                "admin.socket = \"@dir/admin.sock\"\n[redis]\n{redis}\n\
                 [[route]]\nname = \"own\"\nanswer.body = \"own\"\n"
            )
        };
        let said = vanne.reload(&config(&whole.replace(&from, &to))).await;
        // Or the change of the file was seen before.
        assert_ne!(said["result"], "refused", "{said}");
        is_up(&vanne, false).await;
        let said = vanne.reload(&config(&whole)).await;
        // Or the change of the file was seen before.
        assert_ne!(said["result"], "refused", "{said}");
        is_up(&vanne, true).await;
    }
}

#[tokio::test]
async fn a_redis_on_a_socket_may_take_as_long_as_its_timeout() {
    let server = RedisServer::with(&["--unixsocket", "@dir/redis.sock"]).await;
    let socket = server.file("redis.sock");
    let vanne = vanne(&format!("address = \"unix:{}\"", socket.display())).await;
    is_up(&vanne, true).await;
    let way = SlowWay::to(server.address).await;
    way.delay(120);
    let config = |timeout: &str| {
        format!(
            "admin.socket = \"@dir/admin.sock\"\n[redis]\naddress = \"{}\"\n\
             timeout = \"{timeout}\"\n[[route]]\nname = \"own\"\nanswer.body = \"own\"\n",
            way.address
        )
    };
    assert_ne!(vanne.reload(&config("60ms")).await["result"], "refused");
    is_up(&vanne, false).await;
    assert_ne!(vanne.reload(&config("5s")).await["result"], "refused");
    is_up(&vanne, true).await;
}
