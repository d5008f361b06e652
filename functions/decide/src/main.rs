//! The Lambda function `decide`.

use shared::{config::Config, lambda, telemetry, wiring::Cloud};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let config = Config::from_env()?;
    telemetry::start(&config.log_level);
    let cloud = Cloud::open(config)?;
    let ports = decide::Ports { context: cloud.context(), decider: cloud.decider()? };
    ports.decider.warm_up().await;
    // Its warm-up has read already.
    lambda_http::run(lambda::host(decide::router(ports), cloud.context())).await
}
