//! Cookies that backends set, and our own: attributes that they get on the way.

use crate::harness::{Client, Origin, Settings, Vanne};

/// The cookies that the first answer sets, with `cookies` in the route.
async fn set(origin: &Origin, pool: &str, cookies: &str) -> Vec<String> {
    let route = format!("cookies = {cookies}");
    let settings = Settings { pool, route: &route, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let answer = Client::connect(vanne.http).await.get("/").await;
    assert_eq!((answer.status(), answer.text()), (200, "ok".into()));
    answer.head.all("set-cookie").map(str::to_owned).collect()
}

const COOKIES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: sid=1; Path=/\r\n\
    X-Other: 1\r\nSet-Cookie: XSRF-TOKEN=2\r\nset-cookie: all=3; secure; httponly; samesite=strict\r\n\
    Set-Cookie: nonsense\r\nSet-Cookie: user[id]=5; SameSite=x\r\nSet-Cookie: __Host-a=4; Path=/; Secure\r\n\r\nok";

#[tokio::test]
async fn cookies_of_backends_get_the_attributes_that_they_lack() {
    let origin = Origin::answering(COOKIES).await;
    let cookies =
        "{ secure = true, http_only = true, same_site = \"lax\", except = [\"XSRF-TOKEN\"] }";
    let want = [
        "sid=1; Path=/; Secure; HttpOnly; SameSite=Lax",
        "XSRF-TOKEN=2",
        "all=3; secure; httponly; samesite=strict",
        "nonsense; Secure; HttpOnly; SameSite=Lax",
        "user[id]=5; SameSite=x; Secure; HttpOnly; SameSite=Lax",
        "__Host-a=4; Path=/; Secure; HttpOnly; SameSite=Lax",
    ];
    assert_eq!(set(&origin, "", cookies).await, want);
    let only = set(&origin, "", "{ secure = true, same_site = \"none\" }").await;
    assert_eq!(only[0], "sid=1; Path=/; Secure; SameSite=None");
    let as_they_came = set(&origin, "", "{}").await;
    assert_eq!(as_they_came[..2], ["sid=1; Path=/", "XSRF-TOKEN=2"]);
}

#[tokio::test]
async fn cookies_of_our_own_are_secure_where_those_of_backends_are_to_be() {
    let origin = Origin::fixed("ok").await;
    let sticky = "sticky = { cookie = \"VANNE\" }";
    for (cookies, is_secure) in [("{}", false), ("{ secure = true }", true)] {
        let all = set(&origin, sticky, cookies).await;
        assert_eq!(all.len(), 1);
        assert!(all[0].starts_with("VANNE=") && all[0].contains("; HttpOnly; SameSite=Lax"));
        assert_eq!(all[0].matches("; Secure").count(), usize::from(is_secure), "{cookies}");
    }
    let config = |cookies: &str| {
        format!(
            "[pool.a]\nbackends = [\"{}\"]\n[[route]]\nname = \"all\"\ncookies = {cookies}\n\
             split = {{ by = \"cookie:SIDE\", pools = {{ a = 1 }} }}\n",
            origin.address
        )
    };
    for (cookies, is_secure) in [("{}", false), ("{ secure = true }", true)] {
        let vanne = Vanne::start(&config(cookies)).await;
        let answer = vanne.get("/").await;
        let cookie = answer.head.field("set-cookie").unwrap();
        assert!(cookie.starts_with("SIDE="), "{cookie}");
        assert_eq!(cookie.ends_with("; SameSite=Lax; Secure"), is_secure, "{cookie}");
    }
}
