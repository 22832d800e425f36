//! A merge's object: the rows of several objects, one behind the other and without holes. Lists nothing.

use ulid::Ulid;

use super::SegmentObject;
use super::segments::{SegmentKeys, Segments};
use crate::storage::error::StorageError;
use crate::storage::place::RowId;
use crate::storage::purge::copy_living;

impl Segments {
    /// Writes the rows of these objects, 1 to 65,536 together, into a new one, in their order and without holes; gives who they are. Else as [`Segments::put`] does.
    pub fn merge(
        &self,
        keys: &SegmentKeys,
        objects: &[SegmentObject],
        intend: impl FnOnce(Ulid) -> Result<(), StorageError>,
    ) -> Result<(SegmentObject, Vec<RowId>), StorageError> {
        let living = |object: &SegmentObject| object.rows.saturating_sub(object.holes);
        let rows = objects.iter().map(living).fold(0, u32::saturating_add);
        // Before anything is written.
        let former = objects.iter().map(|object| self.fetch(keys, object));
        let former = former.collect::<Result<Vec<_>, _>>()?;
        let mut file = self.begin(keys, rows)?;
        let mut ids = Vec::with_capacity(rows as usize);
        for (object, former) in objects.iter().zip(&former) {
            let came = copy_living(former.reader(), &mut file)?;
            if came.len() != living(object) as usize {
                let fault = "it has more holes than the catalog says".to_owned();
                return Err(former.reader().damaged(fault));
            }
            ids.extend(came);
        }
        Ok((self.finish(keys, file, intend)?, ids))
    }
}
