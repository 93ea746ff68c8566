//! The change itself: what stands at the place, the new container, and the way back.
//!
//! Only the process that created a container starts it, once. Containers are touched by the id
//! seen at the last look, and only with a fresh right to do so.

use std::time::{Duration, Instant};

use slipway_domain::{
    event::Failure,
    manifest::{Proxy, ProxyTo, Restart, Switch},
    order::RunContainer,
};

use super::{health, proxy};
use crate::{
    docker::{
        DockerError, Engine,
        container::{FixedPort, Life, Seen, short},
        image::LocalImage,
        labels::{self, Identity},
    },
    steps::{
        self,
        own::{
            self,
            delivery::{self, Delivery},
        },
    },
    task::{Stop, Task, failed},
};

/// How long the old container may take until it runs again.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Lines of output that an adopter shows of a container that runs already.
const ADOPTED_LINES: u32 = 100;
const POLL: Duration = Duration::from_millis(200);

/// One replacement under way.
pub struct Replacement<'a> {
    task: &'a Task<'a>,
    engine: Engine,
    identity: Identity,
    work: &'a RunContainer,
    /// This deployment's container, if an earlier attempt left one.
    own: Vec<Seen>,
    /// The containers of other deployments at the same place, the oldest first.
    predecessors: Vec<Seen>,
    /// Those of them that shall run if this does not succeed.
    serving: Vec<String>,
    /// The proxy to be told, with secrets filled in.
    proxy: Option<Proxy>,
}

impl<'a> Replacement<'a> {
    /// Looks what stands at the place. Changes nothing.
    pub async fn look(
        task: &'a Task<'a>,
        engine: Engine,
        identity: Identity,
        work: &'a RunContainer,
    ) -> Result<Self, Stop> {
        let there = engine.containers(&identity.place()).await?;
        let deployment = identity.deployment.to_string();
        let (own, predecessors): (Vec<_>, Vec<_>) =
            there.into_iter().partition(|seen| seen.labels.get(labels::DEPLOYMENT) == Some(&deployment));
        let mut serving: Vec<_> =
            predecessors.iter().filter(|seen| seen.life.is_live()).map(|seen| seen.id.clone()).collect();
        // An earlier attempt may have stopped the old one before it was lost, or this one before its engine was away.
        let not_first = task.doorbell.adopt || task.doorbell.attempt > 1 || task.back_at.is_some();
        if serving.is_empty() && not_first {
            // One that never ran did not serve.
            let ran = predecessors.iter().rev().find(|seen| seen.life != Life::Created);
            serving.extend(ran.map(|seen| seen.id.clone()));
        }
        let filled = |proxy: &Proxy| -> Result<Proxy, Failure> {
            Ok(Proxy { caddy: task.held.fill(&proxy.caddy)?, id: task.held.fill(&proxy.id)?, ..proxy.clone() })
        };
        let proxy = work.switch.as_ref().and_then(Switch::proxy).map(filled).transpose()?;
        Ok(Self { task, engine, identity, work, own, predecessors, serving, proxy })
    }

    /// Ends with a new container that runs and is good.
    pub async fn bring_up(&mut self) -> Result<Seen, Stop> {
        let (work, platform) = (self.work, self.work.options.platform.as_deref());
        let image = steps::image(self.task, &self.engine, &work.image, work.credentials.as_ref(), platform).await?;
        let (id, lines) = match self.adoptable(&image) {
            Some(seen) => {
                let whose = if self.task.is_own(seen) { "" } else { " of an earlier attempt" };
                self.task.held.say(format!("container {}{whose} runs already; going on with it", short(&seen.id)));
                (seen.id.clone(), Some(ADOPTED_LINES))
            }
            None => (self.make(&image).await?, None),
        };
        if !work.create_only {
            health::wait(self.task, &self.engine, work.health.as_ref(), &image, &id, lines).await?;
        }
        if let Some(proxy) = &self.proxy {
            self.point(proxy, &id).await?;
        }
        if work.restart != Restart::No {
            self.task.effect_regardless("say when the engine starts the new container again").await?;
            self.engine.restart_policy(&id, work.restart).await?;
        }
        self.engine
            .inspect(&id)
            .await?
            .ok_or_else(|| failed(format!("container {} was removed by somebody else", short(&id))))
    }

    /// The running container of an earlier attempt, if it is exactly what this attempt would make.
    fn adoptable(&self, image: &LocalImage) -> Option<&Seen> {
        let spec = super::spec(self.work);
        let fits = |seen: &&Seen| {
            seen.life.is_live() && seen.image == image.id && seen.labels.get(labels::SPEC) == Some(&spec)
        };
        self.own.iter().find(fits)
    }

    async fn make(&mut self, image: &LocalImage) -> Result<String, Stop> {
        for leftover in std::mem::take(&mut self.own) {
            self.task.held.say(format!("removing container {} that an earlier attempt left", short(&leftover.id)));
            own::remove(self.task, &self.engine, &leftover).await?;
        }
        let plan = own::Plan {
            identity: &self.identity,
            name: self.identity.name(&self.work.name),
            image: &self.work.image,
            local: image,
            delivery: Delivery { files: Some(&self.work.files), secrets: Some(&self.work.secrets) },
            options: &self.work.options,
        };
        let id = own::create(self.task, &self.engine, plan, || super::blueprint(self.task, self.work)).await?;
        if self.work.create_only {
            self.task.held.say(format!("created {}, which is not started", self.identity.name(&self.work.name)));
            return Ok(id);
        }
        if let Some(what) = self.in_the_way()? {
            for old in self.predecessors.iter().filter(|old| old.life.is_live()) {
                self.task.held.say(format!("stopping {} to free its {what}", old.name));
                self.task.effect(&format!("stop the old container, whose {what} the new one needs")).await?;
                self.stop(old).await?;
            }
        }
        self.task.effect("start the new container").await?;
        self.engine.start(&id).await.map_err(|error| self.not_started(error))?;
        self.task.held.say(format!("started {} ({})", self.identity.name(&self.work.name), short(&id)));
        Ok(id)
    }

    /// What keeps the old container from running beside the new one, if it shall not.
    fn in_the_way(&self) -> Result<Option<&'static str>, Stop> {
        match (&self.work.switch, self.contested()) {
            (Some(Switch::StopFirst), _) => Ok(Some("place")),
            (Some(Switch::StartFirst | Switch::Proxy(_)), Some(what)) => Err(failed(format!(
                "the new container needs the {what} of the old one, and by `switch` both shall run at once; give it another one, or say `switch: stop-first`"
            ))),
            (_, contested) => Ok(contested),
        }
    }

    /// Sends the proxy's requests to a container.
    async fn point(&self, proxy: &Proxy, id: &str) -> Result<(), Stop> {
        let seen = self.engine.inspect(id).await?;
        let seen = seen.ok_or_else(|| failed(format!("container {} was removed by somebody else", short(id))))?;
        let address = self.address(proxy, &seen).ok_or_else(|| {
            failed(format!("{} has no port {} that the proxy could reach; publish it", seen.name, proxy.port))
        })?;
        self.task.effect_regardless(&format!("send the requests of `{}` to {address}", proxy.id)).await?;
        proxy::point(self.task.http, proxy, &address).await.map_err(failed)?;
        self.task.held.say(format!("the proxy sends the requests of `{}` to {} ({address})", proxy.id, seen.name));
        Ok(())
    }

    fn address(&self, proxy: &Proxy, seen: &Seen) -> Option<String> {
        match proxy.to {
            ProxyTo::Host => health::addresses(seen, proxy.port, self.engine.host().as_deref()).into_iter().next(),
            ProxyTo::Container => seen.addresses.first().map(|ip| format!("{ip}:{}", proxy.port)),
        }
    }

    /// Waits until the old containers have answered what they were asked before the proxy was told.
    async fn drain(&self, proxy: &Proxy) {
        let until = Instant::now() + proxy.drain.0;
        let live = self.predecessors.iter().filter(|old| old.life.is_live());
        for address in live.filter_map(|old| self.address(proxy, old)) {
            loop {
                match proxy::under_way(self.task.http, proxy, &address).await {
                    Ok(0) => break,
                    told if Instant::now() >= until => {
                        let left = told.map_or_else(|error| error, |left| format!("{left} requests are not answered"));
                        self.task
                            .held
                            .say(format!("after {} the old container is stopped all the same: {left}", proxy.drain));
                        break;
                    }
                    _ => tokio::time::sleep(POLL).await,
                }
            }
        }
    }

    /// The proxy's requests go to what served before; done before the new container is taken away.
    async fn point_back(&self, proxy: &Proxy) -> Result<(), Stop> {
        for id in &self.serving {
            let Some(old) = self.engine.inspect(id).await? else { continue };
            if !old.life.is_live() {
                self.task.effect_regardless("start the old container again").await?;
                self.start_again(&old).await?;
            }
            self.point(proxy, id).await?;
        }
        Ok(())
    }

    /// What of the old container the new one can not have while it runs.
    fn contested(&self) -> Option<&'static str> {
        let options = &self.work.options;
        let live = || self.predecessors.iter().filter(|old| old.life.is_live());
        let ports: Vec<_> = self.work.ports.iter().filter_map(FixedPort::wanted).collect();
        let has_address = |(network, ip): &(String, String)| {
            options.networks.get(network).is_some_and(|join| join.ipv4.as_ref() == Some(ip))
        };
        if live().flat_map(|old| &old.fixed_ports).any(|taken| ports.iter().any(|port| port.collides(taken))) {
            Some("port")
        } else if live().flat_map(|old| &old.fixed_addresses).any(has_address) {
            Some("address")
        } else if options.network_mode.as_deref() == Some("host") && live().any(|old| old.has_hosts_network) {
            // Nobody can tell which ports they listen on.
            Some("ports in the host's network")
        } else {
            None
        }
    }

    /// Stops an old container, so that its engine leaves it so, also when it is started again itself.
    async fn stop(&self, old: &Seen) -> Result<(), Stop> {
        if !matches!(old.restart, Restart::No | Restart::UnlessStopped) {
            self.engine.restart_policy(&old.id, Restart::UnlessStopped).await?;
            self.task.effect_regardless("stop the old container").await?;
        }
        Ok(self.engine.stop(old, None).await?)
    }

    /// Starts an old container again, as its step had made it.
    async fn start_again(&self, old: &Seen) -> Result<(), Stop> {
        self.engine.start(&old.id).await?;
        self.until_live(old).await?;
        let restart = old.labels.get(labels::RESTART).and_then(|text| Restart::try_from(text.clone()).ok());
        match restart.filter(|restart| *restart != Restart::No) {
            Some(restart) => {
                self.task.effect_regardless("say when the engine starts the old container again").await?;
                Ok(self.engine.restart_policy(&old.id, restart).await?)
            }
            None => Ok(()),
        }
    }

    fn not_started(&self, error: DockerError) -> Stop {
        if matches!(error, DockerError::Unreachable { .. }) {
            return error.into();
        }
        let message = error.to_string();
        let hint = if message.contains("port is already allocated") || message.contains("address already in use") {
            "; another container or program of the host has that port"
        } else {
            ""
        };
        failed(format!("{message}{hint}"))
    }

    /// The new one is good: stops the old ones and removes them, but for the one that may yet be brought back.
    pub async fn retire_predecessors(&self) -> Result<(), Stop> {
        if let Some(proxy) = &self.proxy {
            self.drain(proxy).await;
        }
        for old in &self.predecessors {
            if self.work.keep_predecessor && self.serving.contains(&old.id) {
                self.task.effect_regardless("stop the old container").await?;
                self.stop(old).await?;
                self.task.held.say(format!("the old container {} is kept until the next deployment", old.name));
                continue;
            }
            if old.life.is_live() {
                self.task.effect_regardless("stop the old container").await?;
                self.stop(old).await?;
            }
            self.task.effect_regardless("remove the old container").await?;
            self.engine.remove(&old.id).await?;
            self.task.held.say(format!("removed the old container {}", old.name));
        }
        delivery::sweep(self.task, &self.engine, &self.identity).await
    }

    /// Back to how it was. Gives what the attempt ends with.
    pub async fn undo(&self, why: Stop) -> Stop {
        // Whoever goes on later looks again first.
        if matches!(why, Stop::Fenced | Stop::Away { .. }) {
            return why;
        }
        match self.restore().await {
            Ok(back) => match why {
                Stop::Failed(failure) => {
                    Stop::Failed(Failure { message: format!("{}{back}", failure.message), ..failure })
                }
                other => other,
            },
            Err(Stop::Fenced) => Stop::Fenced,
            Err(Stop::Cancelled) => Stop::Cancelled,
            Err(other @ (Stop::Away { .. } | Stop::Unknown(_))) => other,
            Err(Stop::Failed(second)) => {
                let (first, tail) = match why {
                    Stop::Failed(failure) => (failure.message, failure.tail),
                    _ => ("the deployment was cancelled".to_owned(), Vec::new()),
                };
                let message = format!("{first}; and what was before could not be restored: {}", second.message);
                Stop::Failed(Failure { tail, ..Failure::step(message) })
            }
        }
    }

    /// The step is taken back: removes this deployment's container and brings back the one that served before.
    pub async fn take_back(&self) -> Result<(), Stop> {
        let back = self.restore().await?;
        if back.is_empty() {
            self.task.held.say("there was no container before; none serves now".to_owned());
        }
        Ok(())
    }

    /// Removes this deployment's container and starts the old one again, if it does not run.
    async fn restore(&self) -> Result<String, Stop> {
        // Of a handler that can not be told, nothing was changed either.
        let told_back = match &self.proxy {
            Some(proxy) => self.point_back(proxy).await,
            None => Ok(()),
        };
        let unpointed = match told_back {
            Err(Stop::Failed(failure)) => format!("; {}", failure.message),
            other => other.map(|()| String::new())?,
        };
        let deployment = self.identity.deployment.to_string();
        for seen in self.engine.containers(&self.identity.place()).await? {
            if seen.labels.get(labels::DEPLOYMENT) == Some(&deployment) {
                own::remove(self.task, &self.engine, &seen).await?;
            }
        }
        delivery::sweep(self.task, &self.engine, &self.identity).await?;
        let mut back = unpointed;
        for id in &self.serving {
            let Some(old) = self.engine.inspect(id).await? else { continue };
            let how = if old.life.is_live() {
                "still serves"
            } else {
                self.task.effect_regardless("start the old container again").await?;
                self.start_again(&old).await?;
                "serves again"
            };
            self.task.held.say(format!("the old container {} {how}", old.name));
            back.push_str(&format!("; the old container {} {how}", old.name));
        }
        Ok(back)
    }

    async fn until_live(&self, old: &Seen) -> Result<(), Stop> {
        let runs = async {
            loop {
                match self.engine.inspect(&old.id).await?.map(|seen| seen.life) {
                    Some(Life::Live) => return Ok(()),
                    Some(Life::Created) => tokio::time::sleep(POLL).await,
                    Some(Life::Ended(code, remark)) => {
                        return Err(failed(format!("the old container {} ended with {code} {remark}", old.name)));
                    }
                    None => return Err(failed(format!("the old container {} is gone", old.name))),
                }
            }
        };
        tokio::time::timeout(BACK_WITHIN, runs)
            .await
            .unwrap_or_else(|_| Err(failed(format!("the old container {} does not start", old.name))))
    }
}
