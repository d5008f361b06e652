//! The repositories of the configuration, for use cases.

use crate::{
    app::context,
    config::{Config, Repository},
};

/// What use cases need to know of them; who hands out links adds to it who gets them.
pub(super) fn for_use_cases(config: &Config) -> Vec<context::Repository> {
    let repository = |entry: &Repository| context::Repository {
        name: entry.name.clone(),
        prefix: entry.url_prefix.clone(),
        has_credentials: entry.credentials.is_some(),
        allow_private: entry.allow_private,
        products: entry.products.clone(),
        gives_links: entry.kind.gives_links(),
        links: None,
    };
    config.repositories.iter().map(repository).collect()
}
