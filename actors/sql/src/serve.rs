//! Takes queries from the node and gives answers back, several at once.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use perennial_sql_protocol::{Ask, FromWorker, Refusal, RefusalKind, Setup, ToWorker};
use perennial_sql_protocol::{receive, send};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::pipe;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::limits;

/// Takes queries from the standard input until it ends, on threads of their own, so that one that takes a
/// processor for itself does not keep the others from being cancelled.
///
/// # Errors
/// What is said is not understood, or nobody listens any more.
pub fn run() -> io::Result<()> {
    let edge = Builder::new_current_thread().enable_all().build()?;
    let ended = edge.block_on(async {
        let mut input = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
        let output = pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)?;
        let Some(setup) = setup(&mut input).await? else { return Ok(None) };
        limits::bind(setup.memory_bytes)?;
        let work = Builder::new_multi_thread().enable_all().thread_name("sql").build()?;
        let served = serve(setup, input, output, work.handle()).await;
        served.map(|()| Some(work))
    });
    // What still runs ends with the process: nobody waits for it.
    edge.shutdown_background();
    ended.map(|work| work.map(Runtime::shutdown_background).unwrap_or_default())
}

/// The first thing that is said; nothing where the node has ended before.
async fn setup(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Setup>> {
    match receive(input).await? {
        None => Ok(None),
        Some(ToWorker::Setup(setup)) => Ok(Some(setup)),
        Some(ToWorker::Ask(_) | ToWorker::Cancel { .. } | ToWorker::Ping) => {
            Err(io::Error::other("the first frame must be what there is to work on"))
        }
    }
}

async fn serve(
    setup: Setup,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    work: &Handle,
) -> io::Result<()> {
    let engine = Arc::new(Engine::new(setup).map_err(io::Error::other)?);
    let (said, to_say) = unbounded_channel();
    // Somebody receives it below.
    said.send(FromWorker::Ready).ok();
    tokio::select! {
        ended = listen(&engine, input, &said, work) => ended,
        ended = speak(output, to_say) => ended,
    }
}

async fn speak(
    mut output: impl AsyncWrite + Unpin,
    mut to_say: UnboundedReceiver<FromWorker>,
) -> io::Result<()> {
    while let Some(frame) = to_say.recv().await {
        send(&mut output, &frame).await?;
    }
    Ok(())
}

async fn listen(
    engine: &Arc<Engine>,
    mut input: impl AsyncRead + Unpin,
    said: &UnboundedSender<FromWorker>,
    work: &Handle,
) -> io::Result<()> {
    let mut running: HashMap<u64, JoinHandle<()>> = HashMap::new();
    while let Some(frame) = receive(&mut input).await? {
        running.retain(|_, task| !task.is_finished());
        match frame {
            ToWorker::Ask(ask) => {
                let (id, engine, said) = (ask.id, Arc::clone(engine), said.clone());
                running.insert(id, work.spawn(answer(engine, ask, said)));
            }
            ToWorker::Cancel { id } => {
                tokio::task::spawn(cancel(id, running.remove(&id), said.clone()));
            }
            // Nobody listening is found out by who speaks.
            ToWorker::Ping => said.send(FromWorker::Pong).unwrap_or_default(),
            ToWorker::Setup(_) => {
                return Err(io::Error::other("what there is to work on was said twice"));
            }
        }
    }
    Ok(())
}

async fn answer(engine: Arc<Engine>, ask: Ask, said: UnboundedSender<FromWorker>) {
    let id = ask.id;
    let answered = AssertUnwindSafe(engine.answer(&ask)).catch_unwind().await;
    let defect = |_| {
        let why = "the engine has a defect: it panicked; the log of the node says more";
        Err(Refusal::new(RefusalKind::Failed, why))
    };
    let frame = match answered.unwrap_or_else(defect) {
        Ok(answer) => FromWorker::Answered { id, answer },
        Err(refusal) => FromWorker::Refused { id, refusal },
    };
    // Nobody listening is found out by who speaks.
    said.send(frame).unwrap_or_default();
}

/// Ends a query, and says so when nothing of it goes on.
async fn cancel(id: u64, task: Option<JoinHandle<()>>, said: UnboundedSender<FromWorker>) {
    if let Some(task) = task {
        task.abort();
        // However it ended, it has.
        task.await.unwrap_or_default();
    }
    said.send(FromWorker::Cancelled { id }).unwrap_or_default();
}
