//! Step output is read, resumed at any line, and followed.

use slipway_bus::{LogStream, LogText};

use crate::{
    deployment,
    nats::{Nats, soon},
    task,
};

fn lines(texts: &[&str]) -> Vec<LogText> {
    let at = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    texts.iter().map(|text| LogText { at, stream: LogStream::Out, text: (*text).to_owned() }).collect()
}

#[tokio::test]
async fn output_is_read_to_its_present_end_resumed_at_a_line_and_followed() -> anyhow::Result<()> {
    let nats = Nats::start()?;
    let bus = nats.bus().await?;
    let (id, other) = (deployment(), deployment());
    assert_eq!(bus.read_logs(id, 0, 100).await?, []);
    let web = task("web", "web-01");
    bus.log(id, &web, 2, &lines(&["a", "b", "c"])).await?;
    bus.log(other, &web, 1, &lines(&["not mine"])).await?;
    bus.log(id, &task("migrate", "worker"), 1, &lines(&["d"])).await?;
    let all = bus.read_logs(id, 0, 100).await?;
    assert_eq!(all.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!((all[0].attempt, all[0].step.as_str(), all[0].target.as_str()), (2, "web", "web-01"));
    assert_eq!((all[3].stream.as_str(), all[3].step.as_str()), ("out", "migrate"));
    assert_eq!(bus.read_logs(id, 0, 2).await?, all[..2]);
    assert_eq!(bus.read_logs(id, all[1].seq + 1, 100).await?, all[2..]);
    assert_eq!(bus.read_logs(id, all[3].seq + 1, 100).await?, []);
    let mut reader = bus.logs(id, all[2].seq);
    assert_eq!(soon("a line", reader.next()).await, all[2]);
    assert_eq!(soon("a line", reader.next()).await, all[3]);
    bus.log(id, &web, 3, &lines(&["live"])).await?;
    assert_eq!(soon("the live line", reader.next()).await.text, "live");
    Ok(())
}

#[tokio::test]
async fn a_reader_goes_on_after_a_restart() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let (id, web) = (deployment(), task("web", "web-01"));
    bus.log(id, &web, 1, &lines(&["before"])).await?;
    let mut reader = bus.logs(id, 0);
    assert_eq!(soon("a line", reader.next()).await.text, "before");
    nats.kill9();
    nats.restart()?;
    soon("storing output", async { while bus.log(id, &web, 1, &lines(&["after"])).await.is_err() {} }).await;
    assert_eq!(soon("a line", reader.next()).await.text, "after");
    Ok(())
}

#[tokio::test]
async fn output_that_the_server_lost_does_not_hide_what_comes_after() -> anyhow::Result<()> {
    let mut nats = Nats::start()?;
    let bus = nats.bus().await?;
    let (id, web) = (deployment(), task("web", "web-01"));
    for text in ["one", "two", "three"] {
        bus.log(id, &web, 1, &lines(&[text])).await?;
    }
    let mut reader = bus.logs(id, 0);
    for text in ["one", "two", "three"] {
        assert_eq!(soon("a line", reader.next()).await.text, text);
    }
    nats.kill9();
    nats.wipe()?;
    nats.restart()?;
    soon("the streams to be made again", async { while bus.ensure_streams(1).await.is_err() {} }).await;
    soon("storing output", async { while bus.log(id, &web, 1, &lines(&["new"])).await.is_err() {} }).await;
    assert_eq!(soon("the new line", reader.next()).await.text, "new");
    Ok(())
}
