//! Products with very many releases.

use shared::{
    app::{keys, release_list},
    domain::catalogue::CatalogueRelease,
    ports::items::Write,
    testing::{
        build,
        gate::{Gate, Trouble},
    },
};

use super::world::{CONTENT, PRODUCT, World, ask, offered, soon};

const RELEASES: u64 = 10_000;

fn version(index: u64) -> String {
    format!("{}.{}.{}", 1 + index / 2_500, index / 50 % 50, index % 50)
}

/// How many bytes a transaction writes, and how many of them into the largest item.
fn written(writes: &[Write]) -> (usize, usize) {
    let sizes = writes.iter().map(|write| match write {
        Write::Put { body, .. } => body.len(),
        Write::Delete { .. } | Write::Check { .. } => 0,
    });
    (sizes.clone().sum(), sizes.max().unwrap_or(0))
}

#[tokio::test]
async fn with_ten_thousand_releases_each_publish_writes_little_and_every_page_is_read() {
    let mut world = World::memory();
    world.product().await;
    let id = world.managed(CONTENT).await;
    let decider = world.decider(&world.process).await;
    let (mut largest, mut last) = ((0, 0), None);
    for index in 0..RELEASES {
        last = Some(world.publish(&version(index), &[id]).await);
        let (all, item) = written(&world.items().last_commit());
        largest = (largest.0.max(all), largest.1.max(item));
    }
    println!("the largest publish wrote {} bytes, {} of them into one item", largest.0, largest.1);
    assert!(largest.0 <= 100 * 1024, "one publish wrote {} bytes", largest.0);

    let product = PRODUCT.parse().unwrap();
    let pages = world
        .context()
        .store
        .query_all::<Vec<CatalogueRelease>>(&keys::catalogue(&product), "")
        .await
        .unwrap();
    assert!(pages.len() > 50, "{} pages", pages.len());
    let mut listed: Vec<_> =
        pages.iter().flat_map(|(_, page)| &page.value).map(|release| release.release_id).collect();
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), 10_000);

    assert_eq!(offered(&decider, "1.0.0").await.unwrap(), version(RELEASES - 1));
    let fresh = world.another();
    let fresh = world.decider(&fresh).await;
    assert_eq!(offered(&fresh, "1.0.0").await.unwrap(), version(RELEASES - 1));
    // What is on the first page is changed there, and the answer for its clients with it.
    let channel = shared::domain::names::Channel::stable();
    let latest = release_list::latest(world.context(), &world.caller, &product, &channel).await.unwrap();
    assert_eq!(Some(latest.release_id), last);
    world.revoke(&world.process, latest.release_id).await;
    assert!(written(&world.items().last_commit()).0 <= 100 * 1024);
    let payload = ask(&decider, &build::question(PRODUCT, "1.0.0")).await.unwrap();
    assert_eq!(payload["release"]["version"], version(RELEASES - 2));
}

#[tokio::test]
async fn releases_that_meet_at_the_edge_of_a_page_are_all_in_the_catalogue() {
    let world = World::memory();
    world.product().await;
    let id = world.managed(CONTENT).await;
    let mut made = 0;
    let mut pages = Vec::new();
    // The first of every eight has read everything before the others begin, so that at each edge some come late.
    while pages.len() < 3 {
        let gate = Gate::default();
        world.items().on_write_to("releases", Trouble::WaitsBefore(gate.clone()));
        let late = world.publishing(&version(made), &[id]);
        soon(gate.reached()).await;
        for index in made + 1..made + 8 {
            world.publish(&version(index), &[id]).await;
        }
        gate.open();
        soon(late).await.unwrap().unwrap();
        made += 8;
        assert!(made < 2_000, "a page has no end");
        let product = PRODUCT.parse().unwrap();
        pages = world
            .context()
            .store
            .query_all::<Vec<CatalogueRelease>>(&keys::catalogue(&product), "")
            .await
            .unwrap();
    }
    assert_eq!(world.items().conflicts() as u64, made / 8, "each late one found another state");
    let releases: Vec<_> = pages.iter().flat_map(|(_, page)| &page.value).collect();
    assert_eq!(releases.len() as u64, made);
    for (sort, page) in &pages {
        for listed in &page.value {
            let page = world.release(listed.release_id).await.page.unwrap();
            assert_eq!(format!("{page:08}"), *sort, "a release knows its page");
        }
    }
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, &version(0)).await.unwrap(), version(made - 1));
}
