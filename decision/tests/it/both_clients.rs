//! The rules that our two clients read alike: the table is theirs together, `tests/vectors/both-clients.json`.

use std::path::Path;

use decision::keyset::KeysetKey;
use decision::sign::LocalKey;
use decision::{Alg, Expected, Keyset, Refusal, verify};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::delegated::delegation_header;
use crate::fixture::{new_key, set, sign, sign_raw};

#[derive(Deserialize)]
struct Table {
    expected: Expected,
    payload: Value,
    delegation: Value,
    payload_cases: Vec<Case>,
    delegation_cases: Vec<Case>,
}

/// Each of the values in each of the members, one at a time.
#[derive(Deserialize)]
struct Case {
    name: String,
    members: Vec<String>,
    #[serde(default)]
    values: Vec<Value>,
    #[serde(default)]
    absent: bool,
    refused: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    step: u8,
    code: String,
}

impl Case {
    /// Each change that the case makes: a member, and its value or that it is taken out.
    fn changes(&self) -> Vec<(&str, Option<Value>)> {
        let values: Vec<Option<Value>> =
            self.values.iter().cloned().map(Some).chain(self.absent.then_some(None)).collect();
        assert!(!values.is_empty() && !self.members.is_empty(), "`{}` changes nothing", self.name);
        let with = |member| values.iter().cloned().map(move |value| (member, value));
        self.members.iter().map(String::as_str).flat_map(with).collect()
    }

    /// What differs from the verdict that the case states.
    fn differs(&self, verdict: Result<(), Refusal>) -> Option<String> {
        let found = verdict.err().map(|refusal| (refusal.step(), refusal.code()));
        let stated = self.refused.as_ref().map(|refused| (refused.step, refused.code.as_str()));
        (found != stated).then(|| format!("{stated:?} expected, got {found:?}"))
    }
}

/// The keys of the one who signs: the keyset's, and that of a process.
struct Signers {
    trusted: LocalKey,
    process: LocalKey,
    keyset: Keyset,
}

fn table() -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/both-clients.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every pair of algorithms.
fn signers(now: i64) -> Vec<Signers> {
    let algs = [Alg::Es256, Alg::EdDsa];
    let pair = |outer, inner| {
        let trusted = new_key(outer);
        let key = KeysetKey::new(*trusted.public(), now - 1_000, now + 9_000, vec!["acme".to_owned()]);
        let keyset =
            Keyset { v: 1, version: 7, epoch: 3, expires: now + 9_000, nonces: true, keys: vec![key] };
        Signers { trusted, process: new_key(inner), keyset }
    };
    algs.into_iter().flat_map(|outer| algs.map(|inner| pair(outer, inner))).collect()
}

impl Signers {
    fn direct(&self, payload: &Value) -> String {
        sign(&self.trusted, payload.to_string().as_bytes())
    }

    /// The payload under a delegation that says `grant`.
    fn delegated(&self, payload: &Value, grant: &Value) -> String {
        let header = delegation_header(&self.trusted);
        let dlg = sign_raw(&self.trusted, header.as_bytes(), grant.to_string().as_bytes());
        let header = json!({"alg": self.process.alg().as_str(), "kid": self.process.kid(),
            "typ": "update-decision+jws", "dlg": dlg});
        sign_raw(&self.process, header.to_string().as_bytes(), payload.to_string().as_bytes())
    }

    /// What the table's delegation says, with the key of the process.
    fn grant(&self, table: &Table) -> Value {
        let mut grant = table.delegation.clone();
        grant["jwk"] = json!(self.process.public().to_jwk());
        grant
    }

    fn verdict(&self, token: &str, expected: &Expected) -> Result<(), Refusal> {
        verify(token, &self.keyset, expected).map(drop)
    }
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_payload_and_the_delegation_of_the_table_are_accepted() {
    let table = table();
    for signers in signers(table.expected.now) {
        for token in
            [signers.direct(&table.payload), signers.delegated(&table.payload, &signers.grant(&table))]
        {
            signers.verdict(&token, &table.expected).unwrap();
        }
    }
}

#[test]
fn every_case_of_a_payload_gets_its_verdict_direct_and_delegated() {
    let table = table();
    let mut wrong = Vec::new();
    for signers in signers(table.expected.now) {
        let grant = signers.grant(&table);
        for case in &table.payload_cases {
            for (member, value) in case.changes() {
                let mut payload = table.payload.clone();
                set(&mut payload, member, value.clone());
                for token in [signers.direct(&payload), signers.delegated(&payload, &grant)] {
                    let differs = case.differs(signers.verdict(&token, &table.expected));
                    wrong.extend(differs.map(|how| format!("{}: {member} {value:?}: {how}", case.name)));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_case_of_a_delegation_gets_its_verdict() {
    let table = table();
    let mut wrong = Vec::new();
    for signers in signers(table.expected.now) {
        for case in &table.delegation_cases {
            for (member, value) in case.changes() {
                let mut grant = signers.grant(&table);
                set(&mut grant, member, value.clone());
                let token = signers.delegated(&table.payload, &grant);
                let differs = case.differs(signers.verdict(&token, &table.expected));
                wrong.extend(differs.map(|how| format!("{}: {member} {value:?}: {how}", case.name)));
            }
        }
    }
    none(&wrong);
}
