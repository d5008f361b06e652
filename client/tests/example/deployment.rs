// A deployment of one answer and one file, for the examples in the documentation: std and the crate `decision` alone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use decision::keyset::KeysetKey;
use decision::root::{Draft, Root};
use decision::sign::LocalKey;
use decision::{Alg, Keyset, jws};

const BYTES: &[u8] = b"hello artifact\n";
const SHA256: &str = "51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076";

pub struct Deployment {
    pub base_url: String,
    pub keyset: Vec<u8>,
    pub folder: PathBuf,
    _folder: tempfile::TempDir,
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn new_key(alg: Alg) -> LocalKey {
    LocalKey::from_pkcs8_der(&LocalKey::generate(alg).unwrap()).unwrap()
}

pub fn start() -> Deployment {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let (key, offline) = (new_key(Alg::Es256), new_key(Alg::EdDsa));
    let trusted = KeysetKey::new(*key.public(), now() - 60, now() + 3_600, vec!["*".to_owned()]);
    let keyset =
        Keyset { v: 1, version: 1, epoch: 1, expires: now() + 3_600, nonces: true, keys: vec![trusted] };
    let root = Root::new(1, vec![*offline.public()]).unwrap();
    let signed = Draft::new(&base_url, &keyset, &root).unwrap().signed(&offline).unwrap();
    let issuer = base_url.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &issuer, &key);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (keyset, path) = (signed.to_file().into_bytes(), folder.path().to_owned());
    Deployment { base_url, keyset, folder: path, _folder: folder }
}

fn answer(stream: TcpStream, issuer: &str, key: &LocalKey) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while reader.read_line(&mut head).unwrap() > 2 {
        let last = head.lines().last().unwrap_or_default().to_ascii_lowercase();
        length = last.strip_prefix("content-length: ").map_or(length, |length| length.parse().unwrap());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let reply = if head.starts_with("POST /v1/decision ") {
        decide(issuer, key, &String::from_utf8(body).unwrap()).into_bytes()
    } else {
        BYTES.to_vec()
    };
    let mut stream = reader.into_inner();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", reply.len());
    stream.write_all(&[head.as_bytes(), &reply].concat()).unwrap();
}

fn decide(issuer: &str, key: &LocalKey, question: &str) -> String {
    let (_, rest) = question.split_once(r#""nonce":""#).unwrap();
    let nonce = rest.split('"').next().unwrap();
    let (iat, exp) = (now(), now() + 3_600);
    let payload = format!(
        r#"{{"v":1,"iss":"{issuer}","jti":"dec_1","iat":{iat},"exp":{exp},"nonce":"{nonce}","product_id":"editor",
        "channel":"stable","platform":"linux","arch":"x86_64","from_version":"1.4.0","epoch":1,"seq":1,
        "action":"INSTALL","reason":"NEW_RELEASE","release":{{"release_id":"rel_1","version":"1.5.0"}},
        "artifact":{{"artifact_id":"art_1","sha256":"{SHA256}","size_bytes":15,"url":"{issuer}/file",
        "installer_type":"deb","file_name":"editor.deb"}}}}"#
    );
    let input = jws::signing_input(&jws::encode_header(key.alg(), key.kid(), None), payload.as_bytes());
    let signature = key.sign(input.as_bytes()).unwrap();
    format!(r#"{{"decisions":[{{"signature":"{}"}}]}}"#, jws::compact(input, &signature))
}
