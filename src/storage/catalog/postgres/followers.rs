//! Who follows a gallery and how far, in a database: rows are read into [`Followers`] and [`Members`], which decide, and what they changed is written back.

use tokio_postgres::Row;

use super::columns::clear;
use super::head::{self, Head};
use super::register::{self, Standing, repeat, sets, uncommitted};
use super::rows::select;
use super::{Owner, Tenant};
use crate::cluster::followers::{Follower, Followers, Report, Write};
use crate::cluster::members::Members;
use crate::cluster::placement::{Gallery, NodeId, Part};
use crate::cluster::view::{Edition, Reading, Segment, View};
use crate::storage::catalog::code::int;
use crate::storage::database::transaction::{Statement, Transaction, statement};
use crate::storage::error::StorageError;

const ALL: &str = "SELECT node, key_generation, generation, course, sealed FROM follower WHERE tenant = $1";
const OWN: &str = "SELECT node, key_generation, generation, course, sealed FROM follower WHERE tenant = $1 AND node = $2 FOR UPDATE";
const PUT: &str = "INSERT INTO follower (tenant, node, key_generation, generation, course, sealed) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (tenant, node, key_generation) DO UPDATE SET generation = $4, course = $5, sealed = $6";
const LEAVE: &str = "DELETE FROM follower WHERE tenant = $1 AND node = $2 AND key_generation = $3";
const SEGMENTS: &str = select!(segment, "FROM segment WHERE tenant = $1");

/// All that is asked of nodes about a gallery, of one moment.
pub(super) struct Watched {
    pub(super) head: Head,
    pub(super) members: Members,
    pub(super) followers: Followers,
    gallery: Gallery,
}

impl Watched {
    /// Whom a committed write still waits for (W3).
    pub(super) fn waits_for(&self, write: &Write, replicas: usize) -> std::collections::BTreeSet<NodeId> {
        let owners = self.members.owners(self.gallery, Part::Fresh, replicas);
        self.followers.waits_for(&self.members, write, &owners)
    }

    /// Those who stand, and how far they are.
    pub(super) fn followers(&self) -> Vec<(Follower, Report)> {
        self.followers.all(&self.members)
    }

    /// Whether a warming segment may go live (F1).
    pub(super) fn may_go_live(&self, segment: u32, replicas: usize) -> bool {
        let part = Part::of_segment(segment, self.head.group_segments);
        let owners = self.members.owners(self.gallery, part, replicas);
        self.followers.may_go_live(&self.members, segment, &owners)
    }

    /// Whether a segment counts in every view that anybody has.
    pub(super) fn is_settled(&self, segment: Segment) -> bool {
        let from = segment.live_from();
        from.is_some_and(|list| self.followers.have_left_views_before(&self.members, list))
    }

    /// Whether the object of a segment may be deleted (D1).
    pub(super) fn may_delete(&self, segment: Segment) -> bool {
        self.followers.may_delete(&self.members, segment)
    }

    /// Up to which change nobody needs the feed (E1).
    fn feed_floor(&self) -> u64 {
        self.followers.feed_floor(&self.members, self.head.state.sequence)
    }
}

impl Tenant {
    /// Begins a transaction of a node, by which it still has to be who it thinks (W2); gives the head, locked, and the register as far as it is of this node.
    pub(super) fn begin(&self, standing: Standing) -> Result<(Transaction, Head, Members), StorageError> {
        let seen = self.seen();
        let first = vec![register::standing(standing.node), head::lock(self.number)];
        let (transaction, rows) = self.database.begin_all(first)?;
        let [node, rows] = sets(&self.database, rows)?;
        let members = register::check(&self.database, standing, node.first())?;
        let head = self.look(Head::of(self, rows.first())?, seen)?;
        Ok((transaction, head, members))
    }

    /// Takes a node in, before it has any row: `begin` begins its course by this reading, and gives who follows and its first report. It may be asked again, and then what it gave
    /// before counts for nothing.
    pub(super) fn follow(
        &self,
        standing: Standing,
        begin: &mut dyn FnMut(Reading) -> (Follower, Report),
    ) -> Result<(), StorageError> {
        repeat(|| {
            // The head's lock: whoever erases afterwards finds the follower.
            let (transaction, head, members) = self.begin(standing)?;
            let rows = transaction.query_all(vec![
                self.own_followers(standing.node),
                statement!(SEGMENTS, self.number),
            ])?;
            let [own, segments] = sets(&self.database, rows)?;
            let reading = self.reading(&head, &segments)?;
            let edition = reading.head().edition;
            let (follower, report) = begin(reading);
            let mut followers = self.followers(edition, &own)?;
            followers.follow(&members, follower, report)?;
            let known = followers.known(follower.node, edition);
            let taken = known.filter(|(now, _)| *now == follower);
            let taken = taken.ok_or_else(|| StorageError::CourseTaken(self.id.clone()))?;
            let put = self.put_follower(taken);
            transaction.commit(vec![put]).map_err(uncommitted)
        })
    }

    /// Takes a report.
    pub(super) fn report(&self, follower: Follower, report: &Report) -> Result<(), StorageError> {
        self.change_own(follower, |members, followers| {
            Ok(followers.report(members, follower, report.clone())?)
        })
    }

    /// Lets a course go.
    pub(super) fn leave(&self, follower: Follower) -> Result<(), StorageError> {
        self.change_own(follower, |_, followers| {
            followers.leave(follower);
            Ok(())
        })
    }

    fn change_own(
        &self,
        follower: Follower,
        rule: impl Fn(&Members, &mut Followers) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let Follower { node, edition, .. } = follower;
        // What is of a former incarnation has no row any more.
        if edition.incarnation != self.incarnation() {
            return Ok(());
        }
        repeat(|| {
            let first = vec![register::standing(node), self.own_followers(node)];
            let (transaction, rows) = self.database.begin_all(first)?;
            let [row, own] = sets(&self.database, rows)?;
            // Who was fenced may leave; whether it may do anything else the rule says (W2).
            let members = register::of_node(&self.database, row.first())?;
            let mut followers = self.followers(edition, &own)?;
            let before = followers.known(node, edition).cloned();
            rule(&members, &mut followers)?;
            let last = match followers.known(node, edition) {
                now if now == before.as_ref() => None,
                Some(now) => Some(self.put_follower(now)),
                None => Some(statement!(
                    LEAVE,
                    self.number,
                    register::bytes(node),
                    i64::from(edition.key_generation)
                )),
            };
            transaction
                .commit(last.into_iter().collect())
                .map_err(uncommitted)
        })
    }

    /// What is asked of nodes, of one moment.
    pub(super) fn watched(&self) -> Result<Watched, StorageError> {
        let seen = self.seen();
        let mut statements = vec![head::select(self.number), statement!(ALL, self.number)];
        statements.extend(register::statements());
        let [head, followers, generation, nodes] = sets(&self.database, self.database.read(statements)?)?;
        let head = self.look(Head::of(self, head.first())?, seen)?;
        self.watch(head, &followers, (&generation, &nodes))
    }

    /// The same within a transaction that has locked the head.
    pub(super) fn watched_within(
        &self,
        transaction: &Transaction,
        head: &Head,
    ) -> Result<Watched, StorageError> {
        let mut statements = vec![statement!(ALL, self.number)];
        statements.extend(register::statements());
        let [followers, generation, nodes] = sets(&self.database, transaction.query_all(statements)?)?;
        self.watch(head.clone(), &followers, (&generation, &nodes))
    }

    fn watch(
        &self,
        head: Head,
        followers: &[Row],
        (generation, nodes): (&[Row], &[Row]),
    ) -> Result<Watched, StorageError> {
        let edition = head.of_gallery(self).edition;
        Ok(Watched {
            gallery: Gallery::of(&self.id, head.spec.created_at),
            members: register::of_rows(&self.database, generation, nodes)?.members,
            followers: self.followers(edition, followers)?,
            head,
        })
    }

    /// Cuts the feed as far as nobody needs it, and says up to which change it may.
    pub(super) fn cut_feed(&self, standing: Standing) -> Result<u64, StorageError> {
        repeat(|| {
            let (transaction, head, _) = self.begin(standing)?;
            let floor = self.watched_within(&transaction, &head)?.feed_floor();
            let sql = "DELETE FROM change WHERE tenant = $1 AND sequence <= $2";
            transaction
                .commit(vec![statement!(sql, self.number, int(floor))])
                .map_err(uncommitted)?;
            Ok(floor)
        })
    }

    fn own_followers(&self, node: NodeId) -> Statement {
        statement!(OWN, self.number, register::bytes(node))
    }
}

impl Owner {
    /// The tenant from its creation to its end, as editions have it.
    pub(super) fn incarnation(&self) -> u64 {
        u64::try_from(self.number).expect("tenants are numbered from 1")
    }

    /// Head and view of one moment, with as many segments as the head counts.
    pub(super) fn reading(&self, head: &Head, segments: &[Row]) -> Result<Reading, StorageError> {
        if segments.len() as u64 != head.segments {
            let fault = format!(
                "it has {} segments; its counters say {}",
                segments.len(),
                head.segments
            );
            return Err(self.damaged("segment", &fault));
        }
        let states = segments.iter().map(|row| {
            let (entry, state) = self.segment_row(row)?;
            Ok((entry.number, state))
        });
        let states = states.collect::<Result<_, StorageError>>()?;
        let reading = Reading::new(head.of_gallery(self), View::of(head.list, states));
        reading.map_err(|error| self.damaged("segment", &error.to_string()))
    }

    fn followers(&self, edition: Edition, rows: &[Row]) -> Result<Followers, StorageError> {
        let read = rows.iter().map(|row| self.follower_row(row));
        Ok(Followers::of(edition, read.collect::<Result<Vec<_>, _>>()?))
    }

    fn follower_row(&self, row: &Row) -> Result<(Follower, Report), StorageError> {
        let columns = self.columns("follower", row);
        let node = register::node(columns.get(0)?).ok_or_else(|| columns.fault("a node's id is none"))?;
        let follower = Follower {
            node,
            edition: Edition {
                incarnation: self.incarnation(),
                key_generation: columns.small(1)?,
            },
            generation: columns.uint(2)?,
            course: columns.uint(3)?,
        };
        let edition = u64::from(follower.edition.key_generation);
        let clear: &[&[u8]] = clear![
            register::bytes(node)[..],
            edition,
            follower.generation,
            follower.course
        ];
        let report = self.open_cell("follower", clear, columns.get(4)?)?;
        Ok((follower, report))
    }

    fn put_follower(&self, (follower, report): &(Follower, Report)) -> Statement {
        let (node, edition) = (
            register::bytes(follower.node),
            u64::from(follower.edition.key_generation),
        );
        let clear: &[&[u8]] = clear![node[..], edition, follower.generation, follower.course];
        let sealed = self.seal_cell("follower", clear, report);
        let (generation, course) = (int(follower.generation), int(follower.course));
        statement!(PUT, self.number, node, int(edition), generation, course, sealed)
    }
}
