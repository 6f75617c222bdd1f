//! The one place where everything is wired together.

mod adviser;
mod knowledge;
mod queries;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use perennial_healing::docker::Engine;
use perennial_runtime::{Observation, Options, Runtime, RuntimeError, SystemClock};
use perennial_store::{Backend, DataDir, SledBackend, SledOptions, SpaceGuard, TappedBackend};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::backup::{Schedule, Trouble};
use crate::config::{self, Config};
use crate::exit::{Exit, Failure};
use crate::fleet::Running;
use crate::http::{App, Bells, UPLOADS, Verified, router, serve};
use crate::metrics::{BackupFigures, Intake, Metrics};
use crate::signal::Signals;
use queries::{Asking, begin_schedules, queries};
pub(crate) use queries::{GUARD, catalogue, check_schedules};
use tree::{Agents, Rows, tree};

/// A start that is to be stopped gets so long to come to its end.
const START_GRACE: Duration = Duration::from_secs(5);

/// A running node.
#[derive(Debug)]
pub struct Node {
    runtime: Runtime,
    data_dir: DataDir,
    /// Ends the HTTP interface and the schedule of backups.
    stop_edge: watch::Sender<bool>,
    http: JoinHandle<()>,
}

impl Node {
    /// Claims and opens the data directory, starts the actors and answers on `listener`, in this order.
    ///
    /// # Errors
    /// The data directory is in use, damaged or of another version, or the actors do not start.
    pub async fn start(config: Config, listener: TcpListener) -> Result<Self, Failure> {
        Self::start_on(config, listener, |backend| backend).await
    }

    /// The same, unless a signal arrives and the start hangs, as on a disk that does not answer. A start
    /// that does not hang comes to its end first, and [`Node::run`] then stops in order.
    ///
    /// # Errors
    /// As for [`Node::start`], or that it was given up.
    pub async fn start_unless_stopped(
        config: Config,
        listener: TcpListener,
        signals: &mut Signals,
    ) -> Result<Self, Failure> {
        let mut starting = Box::pin(Self::start(config, listener));
        let signal = tokio::select! {
            node = &mut starting => return node,
            signal = signals.next() => signal,
        };
        let why = tokio::select! {
            node = &mut starting => {
                signals.put_back(signal);
                return node;
            }
            second = signals.next() => format!("at once by a second signal, {second},"),
            () = tokio::time::sleep(START_GRACE) => format!("by {signal}"),
        };
        let why = format!("stopped {why} before it had started; nothing is lost");
        Err(Failure::new(Exit::Failed, why))
    }

    /// The same as [`Node::start`] on the store that `wrap` makes of its own.
    pub(crate) async fn start_on(
        config: Config,
        listener: TcpListener,
        wrap: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>,
    ) -> Result<Self, Failure> {
        let Config { http, log: _, store, backup, runtime, docker, .. } = config;
        let Config { monitor, analyzer, responder, alert, query, knowledge, .. } = config;
        let engine = Engine::connect(&docker)
            .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
        let rows = Rows::default();
        let agents = Agents { monitor, analyzer, responder, alert };
        let running = Running::default();
        let library = knowledge::open(knowledge).await?;
        let models: Vec<String> = query.llm.models.iter().map(|model| model.name.clone()).collect();
        let asking = queries(query, Arc::clone(&running), library.as_ref())?;
        let Asking { queries, access, models: advisers, actors: asking } = asking;
        let tree = tree(&engine, agents, rows.clone(), advisers)?.child(asking);
        let mut metrics = Metrics::default();
        metrics.expect_models(models.iter().map(String::as_str));
        let intake = metrics.intake();
        let data_dir = claim(&store).await?;
        // Said only now: before, another node may be the one that the data belongs to.
        let listen = listener.local_addr().map_or_else(|_| String::new(), |at| at.to_string());
        tracing::info!(listen, version = env!("CARGO_PKG_VERSION"), "listening");
        let (data_dir, mut options) = open(data_dir, store).await?;
        let store = Arc::new(TappedBackend::new(wrap(options.backend)));
        options.backend = store.clone();
        options.limits = runtime.into();
        options.observer = Arc::new(observer(intake, queries.bells.clone()));
        let runtime = Runtime::start(options, tree).await?;
        rows.get_or_init(|| runtime.tables());
        running.get_or_init(|| runtime.clone());
        library.iter().for_each(|library| knowledge::look_after(library, &runtime));
        tokio::spawn(begin_schedules(runtime.clone(), queries.schedules.clone()));
        runtime.register_metrics(metrics.registry_mut());
        let (stop_edge, stop) = watch::channel(false);
        let trouble = Trouble::default();
        if backup.is_on() {
            let figures = BackupFigures::default();
            metrics.register_backups(&figures);
            let (store, trouble) = (Arc::clone(&store), trouble.clone());
            let schedule = Schedule { store, config: backup, figures, trouble };
            tokio::spawn(schedule.run(stop.clone()));
        }
        let (metrics, limits) = (Arc::new(metrics), http.clone());
        let http = Arc::new(http);
        let queries = Arc::new(queries);
        let runtime_of_app = runtime.clone();
        let app = App {
            runtime: runtime_of_app,
            store,
            incarnation: data_dir.incarnation().into(),
            trouble,
            engine,
            metrics,
            verified: Verified::default(),
            http,
            queries,
            access,
            documents: library,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
        };
        let http = tokio::spawn(serve(listener, router(app), limits, stop));
        Ok(Self { runtime, data_dir, stop_edge, http })
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Runs until a signal comes or the node cannot go on, then stops everything in reverse order.
    ///
    /// # Errors
    /// Why the node could not go on, or could not stop in order.
    pub async fn run(self, signals: &mut Signals) -> Result<(), Failure> {
        let failed = tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                None
            }
            error = self.runtime.failed() => Some(error),
        };
        tokio::select! {
            stopped = self.stop(failed) => stopped,
            signal = signals.next() => {
                let why = format!("stopped at once by a second signal, {signal}; nothing is lost");
                Err(Failure::new(Exit::Failed, why))
            }
        }
    }

    async fn stop(self, failed: Option<Arc<RuntimeError>>) -> Result<(), Failure> {
        self.stop_edge.send_replace(true);
        if let Err(error) = self.http.await {
            tracing::error!(%error, "the HTTP interface ended badly");
        }
        let stopped = self.runtime.shutdown().await;
        if let Some(error) = failed {
            // Without the mark of a clean end: the next start is careful.
            return Err(error.as_ref().into());
        }
        stopped?;
        self.data_dir.mark_clean()?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Counts what turns contribute, and rings when something has happened in a query.
fn observer(intake: Intake, bells: Bells) -> impl Fn(&Observation) {
    move |observation| match observation.metric {
        perennial_query::metrics::RUNG => bells.ring(observation),
        _ => intake.observe(observation),
    }
}

/// Takes the data directory for this node alone.
async fn claim(store: &config::Store) -> Result<DataDir, Failure> {
    let path = store.data_dir.clone();
    let claimed = spawn_blocking(move || Ok(DataDir::open(&path)?));
    claimed.await.map_err(|error| opening(&error))?
}

/// Opens the store; the start of it may take a while, so not on the threads that answer.
async fn open(data_dir: DataDir, store: config::Store) -> Result<(DataDir, Options), Failure> {
    let opened = spawn_blocking(move || {
        // What the journal holds is brought into the engine, which takes room: the reserve, if there is no other.
        let space = SpaceGuard::new(data_dir.path(), store.reserve_bytes);
        space.check()?;
        let cache = SledOptions { cache_bytes: store.cache_bytes, ..SledOptions::default() };
        let backend = SledBackend::open(&data_dir.store_dir(), cache)?;
        let mut options = Options::new(Arc::new(backend), Arc::new(SystemClock));
        options.unclean_ends = data_dir.unclean_ends();
        options.inflight = Some(data_dir.inflight_path());
        options.space = Some(space);
        Ok::<_, Failure>((data_dir, options))
    });
    opened.await.map_err(|error| opening(&error))?
}

fn opening(error: &JoinError) -> Failure {
    Failure::new(Exit::Software, format!("opening the store: {error}"))
}
