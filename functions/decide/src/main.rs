//! The Lambda function `decide`.

use shared::{config::Config, lambda, telemetry, wiring::Cloud};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let config = Config::from_env()?;
    telemetry::start(&config.log_level);
    let cloud = Cloud::open(config)?;
    let ports = decide::Ports { context: cloud.context(), decider: cloud.decider().await? };
    // Records were read for the decider already.
    lambda_http::run(lambda::host(decide::router(ports), cloud.context())).await
}
