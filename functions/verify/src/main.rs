//! The Lambda function `verify`.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use shared::{app::warm_up, config::Config, telemetry, wiring::Cloud};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = Config::from_env()?;
    telemetry::start(&config.log_level);
    let mut cloud = Cloud::open(config)?.with_tasks()?;
    let ports = &verify::Ports { context: cloud.context(), checker: cloud.checker()? };
    warm_up::records(&ports.context).await;
    let handle =
        |event: LambdaEvent<_>| async { Ok::<_, Error>(verify::handle(ports, event.payload).await?) };
    lambda_runtime::run(service_fn(handle)).await
}
