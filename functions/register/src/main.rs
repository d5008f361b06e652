//! The Lambda function `register`.

use shared::{config::Config, lambda, telemetry, wiring::Cloud};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let config = Config::from_env()?;
    telemetry::start(&config.log_level);
    let cloud = Cloud::open(config)?.with_tasks()?;
    let ports = register::Ports { context: cloud.context() };
    lambda::serve(register::router(ports), cloud.context()).await
}
