//! What all ranks of a group do together.
//!
//! Trees are binomial, of ranks counted from the root (`place`): the parent of a place is that place without its lowest bit. Eight
//! ranks, a broadcast from place 0:
//!
//! ```text
//! 0 -> 4          1st step
//! 0 -> 2  4 -> 6  2nd
//! 0 -> 1  2 -> 3  4 -> 5  6 -> 7
//! ```
//!
//! A reduction goes the same ways back.

use alloc::sync::Arc;

use crate::comm::{Comm, CommError, expect_length};
use crate::element::message::Message;
use crate::element::{Element, Op};

impl Comm {
    /// Waits until all ranks have come here. Rounds double the number of ranks that this one knows of.
    ///
    /// # Errors
    /// Fails if a rank has ended.
    pub async fn barrier_async(&mut self) -> Result<(), CommError> {
        let size = self.size();
        let mut distance = 1;
        while distance < size {
            self.pass((self.rank() + distance) % size, Message::Sign)
                .await?;
            let from = (self.rank() + size - distance) % size;
            match self.take(from).await? {
                Message::Sign => {}
                _ => return Err(CommError::Type),
            }
            distance *= 2;
        }
        Ok(())
    }

    /// Gives all ranks the numbers of rank `root`.
    ///
    /// # Errors
    /// Fails if there is no such rank, if a rank has ended, or if the ranks do not agree on what they do.
    pub async fn broadcast_async<T: Element>(
        &mut self,
        root: usize,
        numbers: &mut [T],
    ) -> Result<(), CommError> {
        if self.rank() == root {
            self.share(root, Some(Arc::from(&*numbers))).await?;
        } else {
            let shared = self.share::<T>(root, None).await?;
            expect_length(numbers.len(), shared.len())?;
            numbers.copy_from_slice(&shared);
        }
        Ok(())
    }

    /// Combines the numbers of all ranks, place by place, into `output` of rank `root`. The others' `output` is not touched.
    ///
    /// # Errors
    /// As for [`broadcast_async`](Self::broadcast_async).
    pub async fn reduce_async<T: Element>(
        &mut self,
        root: usize,
        op: Op,
        input: &[T],
        output: &mut [T],
    ) -> Result<(), CommError> {
        if self.rank() == root {
            expect_length(input.len(), output.len())?;
        }
        let place = self.place(root)?;
        let mut mine: Arc<[T]> = Arc::from(input);
        let mut bit = 1;
        while bit < self.size() {
            if place & bit != 0 {
                let parent = self.rank_at(root, place - bit);
                return self.pass(parent, T::pack(mine)).await;
            }
            if place + bit < self.size() {
                let child = self.rank_at(root, place + bit);
                let theirs = self.take_numbers(child, input.len()).await?;
                let mine = Arc::get_mut(&mut mine).expect("nobody else has it yet");
                T::combine(op, mine, &theirs);
            }
            bit *= 2;
        }
        output.copy_from_slice(&mine);
        Ok(())
    }

    /// Combines the numbers of all ranks, place by place, into the `output` of each.
    ///
    /// All ranks get the same bits, also where the order of a sum matters.
    ///
    /// # Errors
    /// As for [`broadcast_async`](Self::broadcast_async).
    pub async fn all_reduce_async<T: Element>(
        &mut self,
        op: Op,
        input: &[T],
        output: &mut [T],
    ) -> Result<(), CommError> {
        expect_length(input.len(), output.len())?;
        if !self.size().is_power_of_two() {
            self.reduce_async(0, op, input, output).await?;
            return self.broadcast_async(0, output).await;
        }
        output.copy_from_slice(input);
        let mut bit = 1;
        while bit < self.size() {
            let partner = self.rank() ^ bit;
            self.pass(partner, T::pack(Arc::from(&*output))).await?;
            let theirs = self.take_numbers(partner, output.len()).await?;
            T::combine(op, output, &theirs);
            bit *= 2;
        }
        Ok(())
    }

    /// Puts the numbers of all ranks one behind the other into `output` of rank `root`. The others' `output` is not touched.
    ///
    /// No tree: each rank's numbers are copied in and out once, which a tree would do once a level.
    ///
    /// # Errors
    /// As for [`broadcast_async`](Self::broadcast_async).
    pub async fn gather_async<T: Element>(
        &mut self,
        root: usize,
        input: &[T],
        output: &mut [T],
    ) -> Result<(), CommError> {
        if self.rank() != root {
            return self.pass(root, T::pack(Arc::from(input))).await;
        }
        self.collect(input, output).await
    }

    /// Puts the numbers of all ranks one behind the other into the `output` of each.
    ///
    /// # Errors
    /// As for [`broadcast_async`](Self::broadcast_async).
    pub async fn all_gather_async<T: Element>(
        &mut self,
        input: &[T],
        output: &mut [T],
    ) -> Result<(), CommError> {
        let shared = Arc::from(input);
        for distance in 1..self.size() {
            let to = (self.rank() + distance) % self.size();
            self.pass(to, T::pack(Arc::clone(&shared))).await?;
        }
        self.collect(input, output).await
    }

    /// Cuts the numbers of rank `root` into equal parts and gives each rank its part. The others' `input` is not looked at.
    ///
    /// # Errors
    /// As for [`broadcast_async`](Self::broadcast_async).
    pub async fn scatter_async<T: Element>(
        &mut self,
        root: usize,
        input: &[T],
        output: &mut [T],
    ) -> Result<(), CommError> {
        let whole = output.len() * self.size();
        let shared = if self.rank() == root {
            expect_length(whole, input.len())?;
            self.share(root, Some(Arc::from(input))).await?
        } else {
            self.share(root, None).await?
        };
        expect_length(whole, shared.len())?;
        let start = self.rank() * output.len();
        output.copy_from_slice(&shared[start..][..output.len()]);
        Ok(())
    }

    /// Hands the slice of rank `root` down the tree: everybody gets the same memory.
    async fn share<T: Element>(
        &mut self,
        root: usize,
        mut slice: Option<Arc<[T]>>,
    ) -> Result<Arc<[T]>, CommError> {
        let place = self.place(root)?;
        let mut bit = 1;
        while bit < self.size() && place & bit == 0 {
            bit *= 2;
        }
        if place != 0 {
            let parent = self.rank_at(root, place - bit);
            slice = T::unpack(self.take(parent).await?);
        }
        let slice = slice.ok_or(CommError::Type)?;
        while bit > 1 {
            bit /= 2;
            if place + bit < self.size() {
                let child = self.rank_at(root, place + bit);
                self.pass(child, T::pack(Arc::clone(&slice))).await?;
            }
        }
        Ok(slice)
    }

    /// Receives the numbers of all others, each into its part of `output`, and puts this rank's beside them.
    async fn collect<T: Element>(
        &mut self,
        input: &[T],
        output: &mut [T],
    ) -> Result<(), CommError> {
        expect_length(input.len() * self.size(), output.len())?;
        for rank in 0..self.size() {
            let part = &mut output[rank * input.len()..][..input.len()];
            if rank == self.rank() {
                part.copy_from_slice(input);
            } else {
                part.copy_from_slice(&self.take_numbers(rank, input.len()).await?);
            }
        }
        Ok(())
    }

    /// This rank's place in the tree of `root`.
    fn place(&self, root: usize) -> Result<usize, CommError> {
        if root < self.size() {
            Ok((self.rank() + self.size() - root) % self.size())
        } else {
            Err(CommError::NoSuchRank(root))
        }
    }

    fn rank_at(&self, root: usize, place: usize) -> usize {
        (root + place) % self.size()
    }
}
