//! The Lambda function `initiate`.

use shared::{config::Config, lambda, telemetry, wiring::Cloud};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let config = Config::from_env()?;
    telemetry::start(&config.log_level);
    let cloud = Cloud::open(config)?;
    let ports = initiate::Ports { context: cloud.context(), objects: cloud.objects()? };
    lambda::serve(initiate::router(ports), cloud.context()).await
}
