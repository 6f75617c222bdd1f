//! How it is said: the length in four bytes, the greatest first, and so many bytes of JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest frame, in bytes. Answers are bounded by what a query may give back, which is far less.
pub const FRAME_BYTES: usize = 4 * 1024 * 1024;

/// Sends one frame.
///
/// # Errors
/// It is too long, or the other side is gone.
pub async fn send<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), what: &T) -> io::Result<()> {
    let text = serde_json::to_vec(what)?;
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= FRAME_BYTES);
    let length = length.ok_or_else(|| too_long(text.len()))?;
    let mut frame = Vec::with_capacity(text.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&text);
    to.write_all(&frame).await?;
    to.flush().await
}

/// Receives one frame; none if the other side has ended between two.
///
/// # Errors
/// It is too long, is no frame, or the other side ended within it.
pub async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    if from.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES {
        return Err(too_long(length));
    }
    let mut text = vec![0; length];
    from.read_exact(&mut text).await?;
    Ok(Some(serde_json::from_slice(&text)?))
}

fn too_long(length: usize) -> io::Error {
    let why = format!("a frame of {length} bytes is over the limit of {FRAME_BYTES}");
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FromWorker, ToWorker};

    #[tokio::test]
    async fn frames_arrive_as_they_were_sent_and_the_end_is_told_from_a_cut() {
        let mut bytes = Vec::new();
        send(&mut bytes, &ToWorker::Ping).await.unwrap();
        send(&mut bytes, &ToWorker::Cancel { id: 8 }).await.unwrap();
        let mut all = bytes.as_slice();
        assert_eq!(receive(&mut all).await.unwrap(), Some(ToWorker::Ping));
        assert_eq!(receive(&mut all).await.unwrap(), Some(ToWorker::Cancel { id: 8 }));
        assert_eq!(receive::<ToWorker>(&mut all).await.unwrap(), None);
        let mut cut = &bytes[..bytes.len() - 1];
        receive::<ToWorker>(&mut cut).await.unwrap();
        assert!(receive::<ToWorker>(&mut cut).await.is_err());
    }

    #[tokio::test]
    async fn a_frame_that_says_it_is_huge_is_refused_before_room_is_made_for_it() {
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, b'{'];
        let error = receive::<FromWorker>(&mut bytes).await.unwrap_err();
        assert!(error.to_string().contains("over the limit"), "{error}");
    }
}
