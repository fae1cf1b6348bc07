//! [`Geometry`]: where everything lies on the volume, read from the boot sector and checked.

use toro_cache::SECTOR;
use toro_vfs::FileError;

/// Which of the three formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

/// Where a directory begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The root of FAT12 and FAT16, which has a place and a size of its own.
    Fixed,
    /// A chain of clusters.
    Cluster(u32),
}

/// Where everything lies. Places and lengths are in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(crate) kind: Kind,
    /// Length of a cluster.
    pub(crate) cluster: u32,
    /// The copies of the table that are kept.
    pub(crate) tables: [Option<u64>; 2],
    pub(crate) root: Start,
    /// Place and number of slots of the fixed root.
    pub(crate) fixed: (u64, u32),
    /// Place of cluster 2.
    pub(crate) clusters: u64,
    /// The number behind that of the last cluster.
    pub(crate) end: u32,
    /// Place of the sector with the number of free clusters.
    pub(crate) info: Option<u64>,
    /// Place of the byte that says that the volume is in use.
    pub(crate) in_use: u64,
}

impl Geometry {
    /// Reads a boot sector; the store holds `len` bytes.
    pub(crate) fn parse(boot: &[u8; SECTOR], len: u64) -> Result<Self, FileError> {
        let fields = Fields { boot };
        let sector = u64::from(fields.word(11));
        let per_cluster = u64::from(boot[13]);
        let is_sane = (512..=4096).contains(&sector)
            && sector.is_power_of_two()
            && per_cluster.is_power_of_two()
            && boot[510..] == [0x55, 0xaa];
        let reserved = u64::from(fields.word(14));
        let copies = u64::from(boot[16]);
        if !is_sane || reserved == 0 || !(1..=4).contains(&copies) {
            return Err(FileError::Corrupt);
        }
        let is_32 = fields.word(22) == 0;
        let table = match fields.word(22) {
            0 => u64::from(fields.long(36)),
            sectors => u64::from(sectors),
        };
        let sectors = match fields.word(19) {
            0 => u64::from(fields.long(32)),
            sectors => u64::from(sectors),
        };
        let slots = u32::from(fields.word(17));
        let fixed = (reserved + copies * table) * sector;
        let root = u64::from(slots * 32).div_ceil(sector) * sector;
        let clusters = fixed + root;
        let end = sectors * sector;
        if table == 0 || clusters >= end || end > len || (is_32 && slots != 0) {
            return Err(FileError::Corrupt);
        }
        let cluster = per_cluster * sector;
        let count = (end - clusters) / cluster;
        let kind = match count {
            0 => return Err(FileError::Corrupt),
            _ if is_32 => Kind::Fat32,
            1..4085 => Kind::Fat12,
            4085..65525 => Kind::Fat16,
            _ => return Err(FileError::Corrupt),
        };
        let count = count.min(kind.entries(table * sector).saturating_sub(2));
        let numbers = u32::try_from(count + 2).ok();
        let numbers = numbers.filter(|numbers| *numbers > 2 && *numbers < 0x0fff_fff7);
        let mut geometry = Self {
            kind,
            cluster: u32::try_from(cluster).map_err(|_| FileError::Corrupt)?,
            tables: [
                Some(reserved * sector),
                (copies > 1).then_some((reserved + table) * sector),
            ],
            root: Start::Fixed,
            fixed: (fixed, slots),
            clusters,
            end: numbers.ok_or(FileError::Corrupt)?,
            info: None,
            in_use: 37,
        };
        if is_32 {
            geometry.extend_32(&fields, reserved, table * sector, sector)?;
        }
        Ok(geometry)
    }

    /// Reads what only FAT32 has.
    fn extend_32(
        &mut self,
        fields: &Fields<'_>,
        reserved: u64,
        table: u64,
        sector: u64,
    ) -> Result<(), FileError> {
        let flags = fields.word(40);
        if flags & 0x80 != 0 {
            // Only one of the copies is kept.
            let active = u64::from(flags & 0xf);
            if active >= u64::from(fields.boot[16]) {
                return Err(FileError::Corrupt);
            }
            self.tables = [Some(reserved * sector + active * table), None];
        }
        self.root = self.start(fields.long(44))?;
        let info = u64::from(fields.word(48));
        self.info = (0 < info && info < reserved).then_some(info * sector);
        self.in_use = 65;
        Ok(())
    }

    /// The directory that begins with `cluster`, if there is such a cluster.
    pub(crate) fn start(&self, cluster: u32) -> Result<Start, FileError> {
        self.check(cluster).map(Start::Cluster)
    }

    /// The number, if it is one of a cluster.
    pub(crate) fn check(&self, cluster: u32) -> Result<u32, FileError> {
        let is_one = (2..self.end).contains(&cluster);
        is_one.then_some(cluster).ok_or(FileError::Corrupt)
    }

    /// Where `cluster` begins.
    pub(crate) fn place(&self, cluster: u32) -> u64 {
        self.clusters + u64::from(cluster - 2) * u64::from(self.cluster)
    }

    /// How many slots of a directory a cluster holds.
    pub(crate) fn slots(&self) -> u32 {
        self.cluster / 32
    }

    /// How many clusters `len` bytes take.
    pub(crate) fn clusters_for(&self, len: u64) -> u32 {
        u32::try_from(len.div_ceil(u64::from(self.cluster))).unwrap_or(u32::MAX)
    }
}

impl Kind {
    /// How many entries a table of `bytes` bytes has.
    fn entries(self, bytes: u64) -> u64 {
        match self {
            Self::Fat12 => bytes * 2 / 3,
            Self::Fat16 => bytes / 2,
            Self::Fat32 => bytes / 4,
        }
    }
}

struct Fields<'a> {
    boot: &'a [u8; SECTOR],
}

impl Fields<'_> {
    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.boot[at], self.boot[at + 1]])
    }

    fn long(&self, at: usize) -> u32 {
        u32::from(self.word(at)) | u32::from(self.word(at + 2)) << 16
    }
}
