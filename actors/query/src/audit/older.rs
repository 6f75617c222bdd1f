//! What version 1 of the Audit kept, and was told: of documents alone, all bounded together.

use perennial_runtime::{Failure, decode};
use serde::{Deserialize, Serialize};

use super::{Audit, AuditMessage, DeedRow, Part};
use crate::record::older::known;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Audit1 {
    pub(super) count: u64,
}

impl From<Audit1> for Audit {
    fn from(Audit1 { count }: Audit1) -> Self {
        let mut audit = Self { count, ..Self::default() };
        audit.parts[Part::Documents as usize] = count;
        audit
    }
}

pub(super) fn state(version: u16, payload: &[u8]) -> Result<Audit, Failure> {
    known(version)?;
    Ok(decode::<Audit1>(payload)?.into())
}

/// Version 2 has more messages, and acts, behind those of version 1.
pub(super) fn message(version: u16, payload: &[u8]) -> Result<AuditMessage, Failure> {
    known(version)?;
    Ok(decode(payload)?)
}

/// Version 2 has more acts behind those of version 1.
pub(super) fn deed(version: u16, payload: &[u8]) -> Result<DeedRow, Failure> {
    known(version)?;
    Ok(decode(payload)?)
}
