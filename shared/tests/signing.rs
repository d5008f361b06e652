//! How decisions are signed with a key that is somewhere else: counted, verified as a client does, and with the key out
//! of reach.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests panic as tests do"
)]
#![allow(clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

#[path = "signing/alarms.rs"]
mod alarms;
#[path = "signing/delegated.rs"]
mod delegated;
#[path = "signing/direct.rs"]
mod direct;
#[path = "signing/fleet.rs"]
mod fleet;
#[path = "signing/floods.rs"]
mod floods;
#[path = "signing/keyset.rs"]
mod keyset;
#[path = "signing/limits.rs"]
mod limits;
#[path = "signing/opening.rs"]
mod opening;
#[path = "signing/renewal.rs"]
mod renewal;
#[path = "signing/rooted.rs"]
mod rooted;
#[path = "signing/rotation.rs"]
mod rotation;
#[path = "signing/rotation_races.rs"]
mod rotation_races;
#[path = "signing/rotation_scarce.rs"]
mod rotation_scarce;
#[path = "signing/world.rs"]
mod world;
