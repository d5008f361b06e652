//! The Lambda function `manage`.

use shared::{config::Config, lambda, telemetry, wiring::Cloud};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let config = Config::from_env()?;
    telemetry::start(&config.log_level);
    let cloud = Cloud::open(config)?.with_tasks()?;
    // The signing keys are those of another function.
    let ports = manage::Ports { context: cloud.context(), objects: cloud.objects()?, signing_keys: None };
    lambda::serve(manage::router(ports), cloud.context()).await
}
