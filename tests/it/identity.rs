//! Who sends a request: signed tokens, what routes ask of them, and what is told of them.

use crate::harness::client::Answer;
use crate::harness::http2::Client2;
use crate::harness::issuer::{Signer, but, claims, jwks, shared, token, unix};
use crate::harness::vanne::list;
use crate::harness::{Origin, Vanne, ask};
use crate::wrong_tokens;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the usual issuer signs, and for whom.
const USUAL: &str = "jwks = \"@keys/jwks.json\"\n\
                     algorithms = [\"RS256\", \"PS256\", \"ES256\", \"EdDSA\"]\n\
                     issuer = \"https://idp.example\"\naudiences = [\"api\"]";
/// What the usual route asks.
const ASKS: &str = "identity = { use = [\"staff\"] }";

/// A proxy that wants to know who sends requests.
struct Lab {
    vanne: Vanne,
    origin: Origin,
    keys: TempDir,
}

impl Lab {
    /// Tokens are as `jwt` says; `route` stands in the only route, `more` besides.
    async fn start(jwt: &str, route: &str, more: &str) -> Self {
        let origin = Origin::fixed("x").await;
        let keys = tempfile::tempdir().unwrap();
        std::fs::write(keys.path().join("jwks.json"), jwks()).unwrap();
        std::fs::write(keys.path().join("secret"), SECRET).unwrap();
        let vanne = Vanne::start(&config(&origin, &keys, jwt, route, more)).await;
        Self { vanne, origin, keys }
    }

    /// Has this used from now on.
    async fn reload(&self, jwt: &str, route: &str, more: &str) {
        let said = self.vanne.reload(&config(&self.origin, &self.keys, jwt, route, more)).await;
        assert_eq!(said["result"], "applied", "{said}");
    }

    /// A request with these fields.
    async fn ask(&self, fields: &str) -> Answer {
        ask(self.vanne.http, &format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await
    }

    /// A request with this token.
    async fn bear(&self, token: &str) -> Answer {
        self.ask(&format!("authorization: Bearer {token}\r\n")).await
    }

    /// The line of the log for an answer.
    async fn line(&self, answer: &Answer) -> Value {
        self.vanne.log_of(answer.id()).await
    }

    /// What the backend was told in the field `name` by the last request.
    fn told(&self, name: &str) -> Option<String> {
        let requests = self.origin.requests();
        requests.last().unwrap().field(name).map(str::to_owned)
    }
}

fn config(origin: &Origin, keys: &TempDir, jwt: &str, route: &str, more: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[listener.http]\naddress = \"@http\"\n\
         protocols = [\"http/1.1\", \"h2\"]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
         [pool.app]\nbackends = {}\n[identity.staff.jwt]\n{jwt}\n\
         [[route]]\nname = \"all\"\npool = \"app\"\n{route}\n{more}\n",
        list(&[origin.address]),
    )
    .replace("@keys", keys.path().to_str().unwrap())
}

/// A secret that issuer and proxy share.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_token_of_each_algorithm_lets_its_bearer_in_and_names_them() {
    let lab = Lab::start(USUAL, ASKS, "").await;
    for (id, alg) in [("rsa", "RS256"), ("rsa", "PS256"), ("ec", "ES256"), ("ed", "EdDSA")] {
        let answer = lab.bear(&token(id, alg, &claims(alg))).await;
        assert_eq!(answer.status(), 200, "{alg}: {}", answer.text());
        assert_eq!(lab.line(&answer).await["user"], alg);
    }
    let counted = async |result: &str, count: f64| {
        let labels = [("identity", "staff"), ("result", result)];
        lab.vanne.metric_is("vanne_identity_total", &labels, count).await;
    };
    counted("verified", 4.0).await;
    let again = token("ed", "EdDSA", &claims("ann"));
    for _ in 0..3 {
        assert_eq!(lab.bear(&again).await.status(), 200);
    }
    counted("cached", 2.0).await;
    assert_eq!(lab.ask("").await.status(), 401);
    counted("missing", 1.0).await;
    assert_eq!(lab.bear("x").await.status(), 401);
    counted("refused", 1.0).await;
    let mut client = Client2::connect(lab.vanne.http).await;
    assert_eq!(client.get("/").await.status(), 401);
}

#[tokio::test]
async fn a_shared_secret_signs_too_and_other_places_hold_tokens() {
    let jwt = "algorithms = [\"HS256\"]\nsecret_file = \"@keys/secret\"\naudiences = [\"api\"]\n\
               from = \"cookie:session\"";
    let lab = Lab::start(jwt, ASKS, "").await;
    let good = shared(SECRET.as_bytes(), &json!({ "alg": "HS256" }), &claims("ann"));
    let other =
        shared(b"another secret of at least 32 bytes", &json!({ "alg": "HS256" }), &claims("a"));
    assert_eq!(lab.ask(&format!("cookie: a=1; session={good}\r\n")).await.status(), 200);
    let refused = lab.ask(&format!("cookie: session={other}\r\n")).await;
    assert_eq!(lab.line(&refused).await["end"], "token_signature");
    assert_eq!(lab.bear(&good).await.status(), 401, "it is not looked for elsewhere");
    lab.reload(&jwt.replace("cookie:session", "header:X-Token"), ASKS, "").await;
    assert_eq!(lab.ask(&format!("x-token: {good}\r\n")).await.status(), 200);
    let twice = lab.ask(&format!("x-token: {good}\r\nx-token: {good}\r\n")).await;
    assert_eq!(lab.line(&twice).await["end"], "token_repeated");
}

#[tokio::test]
async fn every_wrong_token_is_refused_for_its_own_reason_which_the_client_is_not_told() {
    let lab = Lab::start(USUAL, ASKS, "").await;
    for (name, token, reason) in wrong_tokens::all() {
        let answer = lab.bear(&token).await;
        assert_eq!(answer.refusal(), (401, "invalid_token".into()), "{name}");
        let challenge = "Bearer realm=\"staff\", error=\"invalid_token\"";
        assert_eq!(answer.head.field("www-authenticate"), Some(challenge), "{name}");
        let line = lab.line(&answer).await;
        assert_eq!((&line["end"], &line["by"]), (&reason.into(), &"client".into()), "{name}");
        assert_eq!(line.get("user"), None, "{name}");
    }
    let good = token("ed", "EdDSA", &claims("ann"));
    let twice = format!("authorization: Bearer {good}\r\nauthorization: Bearer {good}\r\n");
    let answer = lab.ask(&twice).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".into()));
    assert_eq!(lab.line(&answer).await["end"], "token_repeated");
    let missing = lab.ask("authorization: Basic YTpi\r\n").await;
    assert_eq!(missing.refusal(), (401, "unauthorized".into()));
    assert_eq!(missing.head.field("www-authenticate"), Some("Bearer realm=\"staff\""));
    assert_eq!(lab.line(&missing).await["end"], "token_missing");
    assert!(lab.origin.requests().is_empty(), "who is refused goes nowhere");
}

#[tokio::test]
async fn what_is_asked_of_a_token_is_said_in_the_config() {
    let lab = Lab::start(USUAL, ASKS, "").await;
    let of = |others: Value| token("ec", "ES256", &but(claims("ann"), others));
    let ends = async |token: &str| {
        let answer = lab.bear(token).await;
        lab.line(&answer).await["end"].as_str().unwrap().to_owned()
    };
    assert_eq!(ends(&of(json!({"exp": unix() - 10}))).await, "ok", "within the skew");
    assert_eq!(ends(&of(json!({"aud": ["x", "api"]}))).await, "ok");
    let with = |more: &str| format!("{USUAL}\n{more}");
    lab.reload(&with("skew = \"1s\""), ASKS, "").await;
    assert_eq!(ends(&of(json!({"exp": unix() - 10}))).await, "token_expired");
    lab.reload(&with("required_claims = [\"tenant\"]"), ASKS, "").await;
    assert_eq!(ends(&of(json!({}))).await, "token_claims");
    assert_eq!(ends(&of(json!({"tenant": 1, "exp": null}))).await, "ok");
    lab.reload(&with("max_token = \"100B\""), ASKS, "").await;
    assert_eq!(ends(&of(json!({}))).await, "token_too_long");
    lab.reload(&with("user_claim = \"email\""), ASKS, "").await;
    let answer = lab.bear(&of(json!({"email": "a@example.com"}))).await;
    assert_eq!(lab.line(&answer).await["user"], "a@example.com");
    lab.reload(&USUAL.replace("\"ES256\", ", ""), ASKS, "").await;
    assert_eq!(ends(&of(json!({}))).await, "token_algorithm");
    lab.reload(&USUAL.replace("idp.example", "other.example"), ASKS, "").await;
    assert_eq!(ends(&of(json!({"iss": "https://other.example"}))).await, "ok");
    lab.reload(&USUAL.replace("[\"api\"]", "[\"shop\"]"), ASKS, "").await;
    assert_eq!(ends(&of(json!({}))).await, "token_audience");
    // Of two tokens one is forgotten where there is room for one.
    lab.reload(&with("max_cached = 1"), ASKS, "").await;
    let (one, two) = (of(json!({"jti": 1})), of(json!({"jti": 2})));
    for token in [&one, &two, &one, &two] {
        assert_eq!(ends(token).await, "ok");
    }
    let labels = [("identity", "staff"), ("result", "cached")];
    let cached = lab.vanne.metrics().await.value("vanne_identity_total", &labels);
    assert!(cached <= Some(1.0), "{cached:?}");
}

#[tokio::test]
async fn scopes_let_do_what_they_say() {
    let route = "identity = { use = [\"staff\"], scopes = [\"read\", \"write\"] }";
    let lab = Lab::start(USUAL, route, "").await;
    let of = |claim: &str, scopes: Value| {
        token("ed", "EdDSA", &but(claims("ann"), json!({ claim: scopes })))
    };
    for scopes in [json!("write read"), json!(["read", "x", "write"])] {
        assert_eq!(lab.bear(&of("scope", scopes)).await.status(), 200);
    }
    for scopes in [json!("read"), json!("read,write"), json!({"read": 1, "write": 1}), json!(null)]
    {
        let answer = lab.bear(&of("scope", scopes)).await;
        assert_eq!(answer.refusal(), (403, "insufficient_scope".into()));
        let challenge =
            "Bearer realm=\"staff\", error=\"insufficient_scope\", scope=\"read write\"";
        assert_eq!(answer.head.field("www-authenticate"), Some(challenge));
        assert_eq!(lab.line(&answer).await["end"], "scope_missing");
    }
    lab.reload(&format!("{USUAL}\nscopes_claim = \"scp\""), route, "").await;
    assert_eq!(lab.bear(&of("scp", json!(["read", "write"]))).await.status(), 200);
}

#[tokio::test]
async fn the_backend_is_told_who_it_is_by_us_alone() {
    let route = "identity = { use = [\"staff\"], mode = \"optional\", claims_to_headers = \
                 { \"X-User\" = \"sub\", \"X-Groups\" = \"groups\" } }";
    let open = "[[route]]\nname = \"open\"\npool = \"app\"\nmatch.path = \"/open\"";
    let lab = Lab::start(USUAL, route, open).await;
    let told = |name: &str| lab.told(name);
    let of = |others: Value| token("ed", "EdDSA", &but(claims("ann"), others));
    let forged = "X-User: root\r\nx_user: root\r\nx-groups: admin\r\nX-User: root\r\n";
    let answer = lab.ask(&format!("{forged}authorization: Bearer {}\r\n", of(json!({})))).await;
    assert_eq!(answer.status(), 200);
    assert_eq!((told("x-user"), told("x-groups")), (Some("ann".into()), None));
    assert_eq!(told("x_user"), None);
    assert_eq!(lab.origin.requests().last().unwrap().all("x-user").count(), 1);
    lab.bear(&of(json!({"groups": ["a", "b"]}))).await;
    assert_eq!(told("x-groups").as_deref(), Some("a,b"));
    lab.bear(&of(json!({"sub": "ann\r\nx-admin: 1", "groups": ["a,b"]}))).await;
    assert_eq!((told("x-user"), told("x-groups"), told("x-admin")), (None, None, None));
    // Who shows nothing passes as nobody, and so does whoever asks another route.
    assert_eq!(lab.ask(forged).await.status(), 200);
    assert_eq!((told("x-user"), told("x_user"), told("x-groups")), (None, None, None));
    let head = format!("GET /open HTTP/1.1\r\nhost: a\r\n{forged}\r\n");
    assert_eq!(ask(lab.vanne.http, &head).await.status(), 200);
    assert_eq!((told("x-user"), told("x_user"), told("x-groups")), (None, None, None));
    let before = lab.origin.requests().len();
    assert_eq!(lab.bear(&of(json!({"exp": 1}))).await.status(), 401, "what is shown must be good");
    assert_eq!(lab.origin.requests().len(), before);
}

#[tokio::test]
async fn another_spelling_of_host_or_path_is_asked_the_same() {
    let open = "[[route]]\nname = \"open\"\npool = \"app\"";
    let of = |matches: &str| format!("{ASKS}\nmatch = {{ {matches} }}");
    let lab = Lab::start(USUAL, &of("host = \"*.example.com\""), open).await;
    let status = async |host: &str, target: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        ask(lab.vanne.http, &head).await.status()
    };
    let long = format!("{}.example.com", "x".repeat(250));
    for (host, want) in [
        ("a.example.com", 401),
        ("a.example.com.", 401),
        ("A.EXAMPLE.com.:80", 401),
        (long.as_str(), 400),
        ("b.example", 200),
    ] {
        assert_eq!(status(host, "/").await, want, "{host}");
    }
    lab.reload(USUAL, &of("path = \"/api\""), open).await;
    for (target, want) in [("/api", 401), ("/%61pi/x", 401), ("/a%70i", 401), ("/apis", 200)] {
        assert_eq!(status("a", target).await, want, "{target}");
    }
}

#[tokio::test]
async fn what_is_shown_in_an_odd_form_is_not_taken_for_nothing() {
    let route = "identity = { use = [\"staff\"], mode = \"optional\" }";
    let lab = Lab::start(USUAL, route, "").await;
    let good = token("ed", "EdDSA", &claims("ann"));
    for (value, want) in [
        ("Basic x".to_owned(), 200),
        (format!("Bearer  {good}"), 200),
        (format!("Bearer\t{good}"), 401),
        (format!("Bearer,{good}"), 401),
        ("Bearer=bad".to_owned(), 401),
        (format!("Basic x, Bearer {good}"), 400),
    ] {
        let answer = lab.ask(&format!("authorization: {value}\r\n")).await;
        assert_eq!(answer.status(), want, "{value}");
    }
    let cookie = USUAL.to_owned() + "\nfrom = \"cookie:tok\"";
    lab.reload(&cookie, route, "").await;
    for (cookies, want) in [
        (format!("tok={good}; tok =EVIL"), "token_repeated"),
        (format!("tok =EVIL; tok={good}"), "token_repeated"),
        ("tok =EVIL".to_owned(), "token_malformed"),
        (format!("tok ={good}"), "ok"),
    ] {
        let answer = lab.ask(&format!("cookie: {cookies}\r\n")).await;
        assert_eq!(lab.line(&answer).await["end"], want, "{cookies}");
    }
    lab.reload(&USUAL.replace("algo", "from = \"header:X-Token\"\nalgo"), route, "").await;
    let twice = lab.ask(&format!("x-token: {good}\r\nx_token: EVIL\r\n")).await;
    assert_eq!(lab.line(&twice).await["end"], "token_repeated");
}

#[tokio::test]
async fn limits_count_users_wherever_they_are_and_others_by_address() {
    let limits = "[rate_limit.each]\nkey = \"user\"\nrate = \"1/h\"\nburst = 2\n\
                  [rate_limit.tries]\nkey = \"ip\"\nrate = \"1/h\"\nburst = 3";
    let route = "identity = { use = [\"staff\"], mode = \"optional\" }\nrate_limits = [\"each\"]";
    let lab = Lab::start(USUAL, route, limits).await;
    let (ann, bob) = (token("ed", "EdDSA", &claims("ann")), token("ed", "EdDSA", &claims("bob")));
    let of_ann = token("ec", "ES256", &claims("ann"));
    let ask = async |client: &str, token: &str| {
        let token = match token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        lab.ask(&format!("x-forwarded-for: {client}\r\n{token}")).await.status()
    };
    assert_eq!(ask("192.0.2.1", &ann).await, 200);
    assert_eq!(ask("192.0.2.2", &of_ann).await, 200);
    assert_eq!(ask("192.0.2.3", &ann).await, 429);
    assert_eq!(ask("192.0.2.1", &bob).await, 200);
    for (status, client) in [(200, 1), (200, 1), (429, 1), (200, 2)] {
        assert_eq!(ask(&format!("192.0.2.{client}"), "").await, status);
    }
    // Limits that need not know who it is are asked before: whoever guesses is slowed.
    let route = "identity = { use = [\"staff\"] }\nrate_limits = [\"each\", \"tries\"]";
    lab.reload(USUAL, route, limits).await;
    for status in [401, 401, 401, 429] {
        assert_eq!(ask("192.0.2.9", "wrong").await, status);
    }
    assert_eq!(ask("192.0.2.9", &bob).await, 429, "all the same who is asking");
    assert_eq!(ask("192.0.2.8", &bob).await, 200);
}

#[tokio::test]
async fn a_key_that_leaves_takes_with_it_what_it_signed_and_the_others_stay() {
    let lab = Lab::start(USUAL, ASKS, "").await;
    let by = |id: &str, alg: &str| token(id, alg, &claims("ann"));
    let (ec, ed) = (by("ec", "ES256"), by("ed", "EdDSA"));
    for token in [&ec, &ed, &ec, &ed] {
        assert_eq!(lab.bear(token).await.status(), 200);
    }
    let set = json!({ "keys": [Signer::usual("ed").jwk("ed")] });
    std::fs::write(lab.keys.path().join("jwks.json"), set.to_string()).unwrap();
    crate::harness::eventually_async("the key is gone", async || {
        let answer = lab.bear(&ec).await;
        (answer.status() == 401).then_some(())
    })
    .await;
    assert_eq!(lab.line(&lab.bear(&ec).await).await["end"], "token_key_unknown");
    let labels = [("identity", "staff"), ("result", "verified")];
    let verified = lab.vanne.metrics().await.value("vanne_identity_total", &labels);
    assert_eq!(lab.bear(&ed).await.status(), 200);
    lab.vanne.metric_is("vanne_identity_total", &labels, verified.unwrap()).await;
    // A file that is none changes nothing.
    std::fs::write(lab.keys.path().join("jwks.json"), "{\"keys\":[]}").unwrap();
    let said = lab.vanne.reload(&config(&lab.origin, &lab.keys, USUAL, ASKS, "")).await;
    assert_eq!(said["result"], "refused");
    assert!(said["message"].as_str().unwrap().contains("identity.staff.jwt.jwks"), "{said}");
    assert_eq!(lab.bear(&ed).await.status(), 200);
}
