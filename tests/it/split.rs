//! Several pools that share the requests of a route.

use crate::harness::client::ask;
use crate::harness::origin::Origin;
use crate::harness::vanne::Vanne;

fn config(pools: [&Origin; 2], split: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\npool.a.backends = [\"{}\"]\n\
         pool.b.backends = [\"{}\"]\n[[route]]\nname = \"all\"\nsplit = {{ {split} }}\n",
        pools[0].address, pools[1].address
    )
}

async fn two() -> (Origin, Origin) {
    (Origin::fixed("a").await, Origin::fixed("b").await)
}

#[tokio::test]
async fn requests_are_shared_by_weight_and_weights_move_with_a_reload() {
    let (a, b) = two().await;
    let vanne = Vanne::start(&config([&a, &b], "pools = { a = 3, b = 1 }")).await;
    for _ in 0..40 {
        vanne.get("/").await;
    }
    let counts = (a.requests().len(), b.requests().len());
    assert!((28..=32).contains(&counts.0) && counts.0 + counts.1 == 40, "{counts:?}");
    vanne.reload(&config([&a, &b], "pools = { a = 0, b = 1 }")).await;
    for _ in 0..10 {
        assert_eq!(vanne.get("/").await.text(), "b");
    }
}

#[tokio::test]
async fn a_client_stays_on_its_side() {
    let (a, b) = two().await;
    let by = |by: &str| config([&a, &b], &format!("pools = {{ a = 1, b = 1 }}, by = \"{by}\""));
    let vanne = Vanne::start(&by("cookie:side")).await;
    let mut sides = [0, 0];
    for _ in 0..20 {
        let first = ask(vanne.http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let set = first.head.field("set-cookie").unwrap();
        let pair = set.split(';').next().unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {pair}\r\n\r\n");
        let again = ask(vanne.http, &request).await;
        assert_eq!(again.text(), first.text());
        assert_eq!(again.head.field("set-cookie"), None);
        sides[usize::from(first.text() == "b")] += 1;
    }
    assert!(sides.iter().all(|count| *count > 0), "{sides:?}");
    vanne.reload(&by("ip")).await;
    let first = vanne.get("/").await.text();
    for _ in 0..10 {
        assert_eq!(vanne.get("/").await.text(), first);
    }
    vanne.reload(&by("header:x-user")).await;
    let mut seen = Vec::new();
    for user in 0..10 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n");
        let first = ask(vanne.http, &request).await.text();
        assert_eq!(ask(vanne.http, &request).await.text(), first);
        seen.push(first);
    }
    assert!(seen.contains(&"a".to_owned()) && seen.contains(&"b".to_owned()), "{seen:?}");
}
