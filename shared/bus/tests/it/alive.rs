//! Whether somebody is there is known at once, and only the server says that nobody is.

use slipway_bus::{Bus, Sign};
use slipway_domain::{name::HolderName, presence::Role};
use uuid::Uuid;

use crate::nats::{Nats, soon};

#[tokio::test]
async fn a_holder_is_there_as_long_as_its_connection_is() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let planner = nats.bus().await?;
    let (holder, boot) = (HolderName::new("executor-1")?, Uuid::new_v4());
    assert_eq!(planner.sign_of(&holder).await, Sign::Nobody);
    let executor = Bus::connect(&nats.config(Role::Executor, "executor-1")).await?;
    let signs = executor.show_signs(&holder, boot).await?;
    // It listens, as soon as the server knows of it, and does not answer, as over a cut link.
    let time_out = async {
        loop {
            let sign = planner.sign_of(&holder).await;
            if sign != Sign::Nobody {
                break sign;
            }
        }
    };
    assert_eq!(soon("the time-out", time_out).await, Sign::Unknown);
    let giving = tokio::spawn(signs.give());
    assert_eq!(soon("a sign", planner.sign_of(&holder)).await, Sign::Here(boot));
    giving.abort();
    let _ = giving.await;
    drop(executor);
    soon("nobody", async {
        while planner.sign_of(&holder).await != Sign::Nobody {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Ok(())
}
