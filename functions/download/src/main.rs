//! The Lambda function `download`.

use shared::{config::Config, lambda, telemetry, wiring::Cloud};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let config = Config::from_env()?;
    telemetry::start(&config.log_level);
    let cloud = Cloud::open(config)?;
    let ports = download::Ports { context: cloud.context(), objects: cloud.objects()? };
    lambda::serve(download::router(ports), cloud.context()).await
}
