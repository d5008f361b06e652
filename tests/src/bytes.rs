//! Installers made up on the spot, small ones whole and large ones as streams.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A name or version part that no other call of this process gets.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Bytes that no other call of this process gets.
pub fn installer(len: usize) -> Vec<u8> {
    let mut bytes = unique("installer").into_bytes();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64
        ^ bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// SHA-256 in lower-case hex.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes.as_ref()))
}

/// A large made-up file that is never held in memory: the same block again and again, each stamped with its number.
#[derive(Debug, Clone)]
pub struct Large {
    block: Vec<u8>,
    blocks: u64,
}

impl Large {
    /// So many blocks of one MiB.
    pub fn mebibytes(blocks: u64) -> Self {
        Self { block: installer(1 << 20), blocks }
    }

    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.blocks << 20
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// SHA-256 in lower-case hex.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        self.clone().for_each(|block| hash.update(&block));
        hex(&hash.finalize())
    }

    fn for_each(self, mut with: impl FnMut(Bytes)) {
        (0..self.blocks).for_each(|number| with(self.stamped(number)));
    }

    fn stamped(&self, number: u64) -> Bytes {
        let mut block = self.block.clone();
        block[..8].copy_from_slice(&number.to_le_bytes());
        Bytes::from(block)
    }

    /// The file as a request body.
    pub fn body(&self) -> reqwest::Body {
        let large = self.clone();
        let blocks = (0..self.blocks).map(move |number| Ok::<_, std::io::Error>(large.stamped(number)));
        reqwest::Body::wrap_stream(futures_util::stream::iter(blocks))
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
