//! Policies: what a level allows and wishes, and how the levels make one whole.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use super::{
    names::Channel,
    platform::{WordError, word_type},
    range::Range,
    version::Version,
};

/// The most entries that `blocked_versions` may have.
pub const MAX_BLOCKED: usize = 100;
/// The most characters of `pinned_range` and of an entry of `blocked_versions`.
pub const MAX_RANGE_CHARACTERS: usize = 128;

word_type!(
    /// What becomes of an offer.
    Mode {
        AutoInstall = "AUTO_INSTALL", DownloadOnly = "DOWNLOAD_ONLY", NotifyOnly = "NOTIFY_ONLY",
        ManagedByIt = "MANAGED_BY_IT",
    }
);
word_type!(
    /// Where a policy is set, from the most specific to the widest.
    Level { TenantProduct = "tenant_product", Product = "product", Tenant = "tenant", Global = "global" }
);

/// What one level sets; a field that is `None` is left to the wider levels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PolicyText")]
pub struct Policy {
    /// The channel that clients get, whichever they ask for.
    pub channel: Option<Channel>,
    /// What becomes of an offer.
    pub mode: Option<Mode>,
    /// Only versions in this range are offered.
    pub pinned_range: Option<Range>,
    /// Versions in any of these ranges are not offered; at most 100. Levels add up.
    pub blocked_versions: Option<Vec<Range>>,
    /// Whether nothing at all is offered. A level cannot lift what another says.
    pub paused: Option<bool>,
    /// Only this version and newer ones are offered.
    pub min_version: Option<Version>,
}

/// A policy as it is sent: of the right shape, its texts not yet read. Unknown members are refused; `null` and
/// absent both mean "not set".
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyText {
    /// See [`Policy::channel`].
    pub channel: Option<String>,
    /// See [`Policy::mode`].
    pub mode: Option<String>,
    /// See [`Policy::pinned_range`]; at most 128 characters.
    pub pinned_range: Option<String>,
    /// See [`Policy::blocked_versions`]; at most 100 entries of at most 128 characters.
    pub blocked_versions: Option<Vec<String>>,
    /// See [`Policy::paused`].
    pub paused: Option<bool>,
    /// See [`Policy::min_version`].
    pub min_version: Option<String>,
}

/// A member of a policy is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{member}`: {rule}")]
pub struct PolicyError {
    /// The member.
    pub member: &'static str,
    /// The rule that it breaks.
    pub rule: String,
}

impl TryFrom<PolicyText> for Policy {
    type Error = PolicyError;

    fn try_from(text: PolicyText) -> Result<Self, PolicyError> {
        Ok(Self {
            channel: read("channel", text.channel.as_deref(), str::parse)?,
            mode: read("mode", text.mode.as_deref(), str::parse)?,
            pinned_range: read("pinned_range", text.pinned_range.as_deref(), range)?,
            blocked_versions: read("blocked_versions", text.blocked_versions.as_deref(), ranges)?,
            paused: text.paused,
            min_version: read("min_version", text.min_version.as_deref(), str::parse)?,
        })
    }
}

fn read<I: ?Sized, T, E: fmt::Display>(
    member: &'static str,
    input: Option<&I>,
    parse: impl FnOnce(&I) -> Result<T, E>,
) -> Result<Option<T>, PolicyError> {
    input.map(parse).transpose().map_err(|error| PolicyError { member, rule: error.to_string() })
}

fn range(text: &str) -> Result<Range, String> {
    if text.chars().count() > MAX_RANGE_CHARACTERS {
        return Err(format!("a range has at most {MAX_RANGE_CHARACTERS} characters"));
    }
    Range::parse(text).map_err(|error| error.to_string())
}

fn ranges(texts: &[String]) -> Result<Vec<Range>, String> {
    if texts.len() > MAX_BLOCKED {
        return Err(format!("at most {MAX_BLOCKED} entries"));
    }
    texts.iter().map(|text| range(text)).collect()
}

/// The policies that bear on one question, one per level; `None` where a level was never set.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicyStack<'a> {
    /// Of this tenant for this product.
    pub tenant_product: Option<&'a Policy>,
    /// Of the product, for every tenant.
    pub product: Option<&'a Policy>,
    /// Of the tenant, for every product.
    pub tenant: Option<&'a Policy>,
    /// Of the whole deployment.
    pub global: Option<&'a Policy>,
}

impl<'a> PolicyStack<'a> {
    /// The levels that are set, the most specific first.
    pub fn levels(self) -> impl Iterator<Item = (Level, &'a Policy)> {
        [
            (Level::TenantProduct, self.tenant_product),
            (Level::Product, self.product),
            (Level::Tenant, self.tenant),
            (Level::Global, self.global),
        ]
        .into_iter()
        .filter_map(|(level, policy)| Some((level, policy?)))
    }
}

/// A value, and the level that set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Set<T> {
    /// The value.
    pub value: T,
    /// The level that set it.
    pub level: Level,
}

/// The policy that applies to one question, each field from the most specific level that sets it.
#[derive(Debug, Clone, Copy)]
pub struct Effective<'a> {
    /// The channel that applies instead of the one asked for.
    pub channel: Option<Set<&'a Channel>>,
    /// What becomes of an offer; see [`mode`](Self::mode) for the default.
    pub mode: Option<Set<Mode>>,
    /// The range that every offer is in.
    pub pinned_range: Option<Set<&'a Range>>,
    /// The most specific level that has paused everything, if any has.
    pub paused: Option<Level>,
    /// The lowest version that is offered.
    pub min_version: Option<Set<&'a Version>>,
    stack: PolicyStack<'a>,
}

impl<'a> Effective<'a> {
    /// What becomes of an offer: [`Mode::AutoInstall`] where no level says.
    pub fn mode(&self) -> Mode {
        self.mode.map_or(Mode::AutoInstall, |set| set.value)
    }

    /// Every blocked range of every level, the most specific level first.
    pub fn blocked(&self) -> impl Iterator<Item = Set<&'a Range>> {
        self.stack.levels().flat_map(|(level, policy)| {
            policy.blocked_versions.iter().flatten().map(move |value| Set { value, level })
        })
    }
}

/// Makes one policy of the levels. `blocked_versions` add up, and any level can pause; nothing is allocated.
pub fn resolve<'a>(stack: &PolicyStack<'a>) -> Effective<'a> {
    let stack = *stack;
    Effective {
        channel: first(stack, |policy| policy.channel.as_ref()),
        mode: first(stack, |policy| policy.mode),
        pinned_range: first(stack, |policy| policy.pinned_range.as_ref()),
        paused: first(stack, |policy| policy.paused.filter(|paused| *paused)).map(|set| set.level),
        min_version: first(stack, |policy| policy.min_version.as_ref()),
        stack,
    }
}

fn first<'a, T>(stack: PolicyStack<'a>, field: impl Fn(&'a Policy) -> Option<T>) -> Option<Set<T>> {
    stack.levels().find_map(|(level, policy)| field(policy).map(|value| Set { value, level }))
}

impl Serialize for Effective<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("channel", &self.channel)?;
        map.serialize_entry("mode", &self.mode)?;
        map.serialize_entry("pinned_range", &self.pinned_range)?;
        map.serialize_entry("blocked_versions", &self.blocked().collect::<Vec<_>>())?;
        map.serialize_entry("paused", &self.paused.map(|level| Set { value: true, level }))?;
        map.serialize_entry("min_version", &self.min_version)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(value: serde_json::Value) -> Policy {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn null_and_absent_both_mean_not_set_and_unknown_members_are_refused() {
        assert_eq!(
            policy(json!({"channel": null, "paused": null, "blocked_versions": null})),
            Policy::default()
        );
        assert_eq!(policy(json!({})), Policy::default());
        for bad in [json!({"pin": "1"}), json!({"paused": "true"}), json!({"blocked_versions": [null]})] {
            assert!(serde_json::from_value::<PolicyText>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_policy_reads_back_as_it_was_written() {
        let full = policy(
            json!({"channel": "beta", "mode": "NOTIFY_ONLY", "pinned_range": "^1, <1.9", "blocked_versions": ["1.2.0", "~1.3"],
            "paused": false, "min_version": "1.0.0-rc.1"}),
        );
        assert_eq!(policy(serde_json::to_value(&full).unwrap()), full);
    }

    #[test]
    fn an_unacceptable_member_is_named() {
        let cases = [
            ("channel", json!({"channel": "Beta"})),
            ("mode", json!({"mode": "auto_install"})),
            ("pinned_range", json!({"pinned_range": "1.2"})),
            ("pinned_range", json!({"pinned_range": format!(">={}1", " ".repeat(126))})),
            ("blocked_versions", json!({"blocked_versions": ["1.2.3", ""]})),
            ("blocked_versions", json!({"blocked_versions": vec!["1.2.3"; 101]})),
            ("min_version", json!({"min_version": "1.2"})),
        ];
        for (member, value) in cases {
            let text: PolicyText = serde_json::from_value(value).unwrap();
            assert_eq!(Policy::try_from(text).unwrap_err().member, member);
        }
        let full = policy(
            json!({"pinned_range": format!(">={}1", " ".repeat(125)), "blocked_versions": vec!["1.2.3"; 100]}),
        );
        assert_eq!(full.blocked_versions.unwrap().len(), MAX_BLOCKED);
    }

    #[test]
    fn each_field_comes_from_the_most_specific_level_that_sets_it() {
        let (own, product) = (
            policy(json!({"mode": "NOTIFY_ONLY"})),
            policy(json!({"mode": "DOWNLOAD_ONLY", "pinned_range": "^1"})),
        );
        let (tenant, global) = (
            policy(json!({"pinned_range": "^2", "channel": "beta"})),
            policy(json!({"channel": "lts", "min_version": "1.0.0"})),
        );
        let stack = PolicyStack {
            tenant_product: Some(&own),
            product: Some(&product),
            tenant: Some(&tenant),
            global: Some(&global),
        };
        let json = serde_json::to_value(resolve(&stack)).unwrap();
        assert_eq!(
            json,
            json!({
                "channel": {"value": "beta", "level": "tenant"}, "mode": {"value": "NOTIFY_ONLY", "level": "tenant_product"},
                "pinned_range": {"value": "^1", "level": "product"}, "blocked_versions": [], "paused": null,
                "min_version": {"value": "1.0.0", "level": "global"},
            })
        );
    }

    #[test]
    fn blocked_versions_add_up_and_any_level_pauses() {
        let narrow = policy(json!({"paused": false, "blocked_versions": []}));
        let middle = policy(json!({"blocked_versions": ["2.0.0"]}));
        let wide = policy(json!({"paused": true, "blocked_versions": ["1.0.0"]}));
        let stack = PolicyStack {
            tenant_product: Some(&narrow),
            tenant: Some(&middle),
            global: Some(&wide),
            ..PolicyStack::default()
        };
        let effective = resolve(&stack);
        let blocked: Vec<_> = effective.blocked().map(|set| (set.value.as_str(), set.level)).collect();
        assert_eq!(blocked, [("2.0.0", Level::Tenant), ("1.0.0", Level::Global)]);
        assert_eq!(effective.paused, Some(Level::Global));
        assert_eq!(effective.mode(), Mode::AutoInstall);
    }
}
