//! Connections: how many, how patient, and how they end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::Http;

/// How long requests under way may take once the node is told to stop.
const GRACE: Duration = Duration::from_millis(500);

/// The wait after a connection could not be accepted, most often for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a request's head, the least hyper can be told.
const HEAD_BYTES: usize = 16 * 1024;

/// Answers connections until `stop` is true or nobody can set it any more, then lets the requests
/// under way end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Http,
    stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(limits.max_connections));
    let mut connections = JoinSet::new();
    let mut stopping = stop.clone();
    let mut stopping = pin!(stopped(&mut stopping));
    loop {
        let next = async {
            // Never closed, so a permit always comes.
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut stopping => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection =
                    converse(stream, router.clone(), limits.header_timeout, stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::info!("requests that were still under way are cut off");
    }
}

/// Answers the requests of one connection.
async fn converse(
    stream: TcpStream,
    router: Router,
    header_timeout: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A peer that goes away or talks nonsense is its own business.
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// Resolves when `stop` is true, or when nobody can set it any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await;
}
