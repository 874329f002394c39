//! Fuzz: any request through the whole engine, under rules of its own and, where VANNE_CRS_DIR
//! says where it is, under the Core Rule Set.
//!
//! Nothing panics. What is found hangs on the request alone: not on what the memory and the caches
//! of the thread have seen before, nor on whether it waits between phases. Memory is bounded by the
//! size of the request.
//!
//! The first line is method, target and version; header fields follow, one a line; after an empty
//! line the body.
#![no_main]

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use vanne_filters::waf::program::Program;
use vanne_filters::waf::regression::Case;
use vanne_filters::waf::seclang::{Library, Source, load};
use vanne_filters::waf::transaction::{Caches, Shown, Transaction};

const SETUP: &str = r#"
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecArgumentsLimit 200
SecAction "id:900000,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level=4"
"#;

const RULES: &str = r#"
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|REQUEST_HEADERS "@rx (?i)(?:union\s+select|\bor\b.{0,9}=)" \
    "id:1,phase:2,pass,capture,t:none,t:urlDecodeUni,t:lowercase,multiMatch,\
    setvar:tx.score=+1,setvar:'tx.%{MATCHED_VAR_NAME}=%{TX.0}'"
SecRule ARGS|XML:/* "@rx [a-c]{3,9}[^a]{5}[0-9]+$" "id:2,phase:2,pass,t:none,t:htmlEntityDecode,chain"
    SecRule MATCHED_VARS "!@within aaa bbb" "t:none,setvar:tx.score=+5"
SecRule REQUEST_BODY|REQUEST_URI_RAW "@pm passwd shadow /etc" "id:3,phase:2,pass,t:none,t:cmdLine"
SecRule ARGS|REQUEST_HEADERS:User-Agent "@detectSQLi" "id:4,phase:2,pass,t:none,t:removeComments"
SecRule ARGS|FILES|MULTIPART_PART_HEADERS "@detectXSS" "id:5,phase:2,pass,t:none,t:jsDecode"
SecRule &ARGS "@gt 3" "id:6,phase:2,pass,skipAfter:END"
SecRule REQUEST_HEADERS "@validateByteRange 32-126" "id:7,phase:2,pass,ctl:ruleRemoveTargetById=1;ARGS"
SecMarker END
SecRule TX:score "@ge 5" "id:8,phase:2,deny"
"#;

const SHOWN: Shown<'_> = Shown::first(64, 256, &|_| false);

struct Disk;

impl Library for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| error.to_string())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
        Ok(entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
    }
}

fn programs() -> &'static [Arc<Program>] {
    static PROGRAMS: OnceLock<Vec<Arc<Program>>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let bodies = vanne_filters::waf::body_processors(9000);
        let texts = [SETUP, &bodies, RULES].map(|text| Source::Text("own", text));
        let mut sets = vec![load(&texts, &Disk).unwrap()];
        if let Ok(crs) = std::env::var("VANNE_CRS_DIR") {
            let path = |name: &str| Path::new(&crs).join(name).to_string_lossy().into_owned();
            let (example, rules) = (path("crs-setup.conf.example"), path("rules/*.conf"));
            let [setup, bodies, _] = texts;
            let sources = [Source::File(&example), setup, bodies, Source::File(&rules)];
            sets.push(load(&sources, &Disk).unwrap());
        }
        sets.iter().map(|set| Arc::new(Program::compile(set).unwrap())).collect()
    })
}

fn request(bytes: &[u8]) -> Case {
    let at = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(at);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next().unwrap_or_default().splitn(3, |byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default().to_vec();
    let (method, uri, version) = (word(), word(), word());
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        (name.to_vec(), value.get(1..).unwrap_or_default().trim_ascii().to_vec())
    };
    Case {
        method,
        uri,
        version,
        fields: lines.map(field).collect(),
        body: body.get(2..).unwrap_or_default().to_vec(),
        status: 200,
        ..Case::default()
    }
}

fn found(transaction: &Transaction) -> Vec<(u64, Vec<u8>, Vec<Vec<u8>>)> {
    let one = |one: vanne_filters::waf::transaction::Match<'_>| {
        let values = one.found().map(|found| found.value.to_vec());
        (one.about.id, one.message.to_vec(), values.collect())
    };
    transaction.matches().map(one).collect()
}

fn ids(transaction: &Transaction) -> Vec<u64> {
    transaction.matches().map(|one| one.about.id).collect()
}

thread_local! {
    /// Of each program a transaction and caches that all inputs use.
    static USED: RefCell<Vec<(Transaction, Caches)>> = RefCell::new(
        programs()
            .iter()
            .map(|program| (Transaction::new(Arc::clone(program)), Caches::new(program)))
            .collect(),
    );
}

fuzz_target!(|bytes: &[u8]| {
    let case = request(bytes);
    USED.with_borrow_mut(|used| {
        for (program, (transaction, caches)) in programs().iter().zip(used) {
            transaction.begin(program);
            case.run(transaction, caches);
            // Forty pipelines, each with a result of up to six bytes for one, and what is known of it.
            assert!(transaction.memory_bytes() <= (1 << 20) + bytes.len() * 4096);
            let mut fresh = Transaction::new(Arc::clone(program));
            case.run(&mut fresh, &mut Caches::new(program));
            assert_eq!(found(transaction), found(&fresh));
            assert_eq!(transaction.would_interrupt(), fresh.would_interrupt());
            transaction.begin(program);
            case.run_waiting(transaction, caches, |one, still| one.rest(still, SHOWN));
            assert_eq!(ids(transaction), ids(&fresh));
            assert_eq!(transaction.would_interrupt(), fresh.would_interrupt());
        }
    });
});
