//! `try_pass`: backends in order, until one of them handles the request.
//!
//! A backend that says "not mine" (status 501, unless told otherwise) passes the request to the next one; the
//! last one's answer stands whatever it is. The request's body reaches each of them whole, also when one
//! passes before it has read it, as far as it fits into `replay_limit`: past that the answer in hand stands,
//! and part of a body is never sent as if it were all of it (see [`Replay`]). A connection that has passed a
//! request it was sent whole is kept and used again.
//!
//! A response with the restart status and a `Location` on the request's own host begins again at the first
//! backend with that path, [`MOST_RESTARTS`] times at most; a `Location` that leads elsewhere or nowhere is
//! an answer like any other.
//!
//! A failure is no pass: the request may have been acted upon. Only when nobody could be reached, and
//! `pass_on` has `connect_failure`, the next one is asked.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use http::StatusCode;
use waypost_http1::Name;

use crate::backend::{Backend, Call, Explanation, Probe, Report, Sketch};
use crate::deadline::Timers;
use crate::drain::drain;
use crate::exchange::Exchange;
use crate::failure::{Failure, FailureKind};
use crate::location::target_here;
use crate::outcomes::Outcomes;
use crate::replay::Replay;
use crate::response::Response;
use crate::restore::Restore;

/// How often one request is started again, so that two backends can't send it round for ever.
pub const MOST_RESTARTS: u32 = 5;

/// What a [`TryPass`] is told.
#[derive(Debug, Clone)]
pub struct TryPassOptions {
    /// What means "not mine, pass".
    pub pass_on: Outcomes,
    /// The status that starts a request again with the path of its `Location`; none: no status does.
    pub restart_on: Option<StatusCode>,
    /// How many bytes of a request's body are kept for the next backend.
    pub replay_limit: u64,
}

impl Default for TryPassOptions {
    /// 501 passes, nothing starts again, and a mebibyte of a body is kept.
    fn default() -> TryPassOptions {
        TryPassOptions {
            pass_on: Outcomes { statuses: vec![StatusCode::NOT_IMPLEMENTED], ..Outcomes::default() },
            restart_on: None,
            replay_limit: 1024 * 1024,
        }
    }
}

/// Tries backends in order.
pub struct TryPass {
    name: String,
    members: Vec<Rc<dyn Backend>>,
    options: TryPassOptions,
    timers: Rc<Timers>,
}

/// Where a request goes after one backend has had it.
enum Next {
    /// To the one behind it.
    Pass,
    /// To the first one, with this target.
    Restart(Vec<u8>),
    /// Nowhere.
    Stand,
}

impl TryPass {
    /// Tries `members` in order. `timers` are the worker's.
    pub fn new(
        name: impl Into<String>,
        members: Vec<Rc<dyn Backend>>,
        options: TryPassOptions,
        timers: Rc<Timers>,
    ) -> TryPass {
        TryPass { name: name.into(), members, options, timers }
    }

    async fn ask(&self, exchange: &mut Exchange) -> Result<Response, Failure> {
        let mut replay = Replay::new(std::mem::take(&mut exchange.body), self.options.replay_limit);
        let mut exchange = Restore::new(exchange);
        let mut restarts = 0;
        let mut members = self.members.iter();
        while let Some(member) = members.next() {
            let may_pass = members.len() > 0;
            let may_restart = self.options.restart_on.is_some() && restarts < MOST_RESTARTS;
            if !may_pass && !may_restart {
                exchange.body = replay.last();
                return member.call(&mut exchange).await;
            }
            exchange.body = replay.attempt();
            let result = member.call(&mut exchange).await;
            let mut next = self.judge(&result, &exchange, may_pass, may_restart);
            if !matches!(next, Next::Stand) && !replay.is_possible() {
                let what = "would have passed the request, but its body is past the replay limit";
                exchange.notes.error = Some(format!("{} {what}", member.name()));
                next = Next::Stand;
            }
            match next {
                Next::Stand => return result,
                Next::Pass => {}
                Next::Restart(target) => {
                    exchange.save();
                    if exchange.request.set_target(&target).is_err() {
                        return result;
                    }
                    restarts += 1;
                    members = self.members.iter();
                }
            }
            exchange.notes.forget_route();
            if let Ok(response) = result
                && replay.is_delivered()
            {
                drain(response, &self.timers).await;
            }
        }
        let what = format!("{} has no members to ask", self.name);
        Err(Failure::unsent(FailureKind::Unavailable { what }))
    }

    fn judge(
        &self,
        result: &Result<Response, Failure>,
        exchange: &Exchange,
        may_pass: bool,
        may_restart: bool,
    ) -> Next {
        let pass = match result {
            Err(failure) => self.options.pass_on.has_unreached(failure),
            Ok(response) => {
                let status = response.head.status;
                if may_restart && self.options.restart_on == Some(status) {
                    let location = response.head.fields.get(Name::Location);
                    let target = location.and_then(|location| target_here(&exchange.sketch(), location));
                    return target.map_or(Next::Stand, Next::Restart);
                }
                self.options.pass_on.has_status(status)
            }
        };
        if may_pass && pass { Next::Pass } else { Next::Stand }
    }

    fn says(&self) -> String {
        let restart = match self.options.restart_on {
            Some(status) => format!(", starts again on {}", status.as_u16()),
            None => String::new(),
        };
        format!("passes on {}{restart}", self.options.pass_on)
    }
}

/// Asks all at once, and says of the first in order that is not well why.
async fn all_well(members: &[Rc<dyn Backend>]) -> Result<(), String> {
    let mut probes: Vec<Option<Probe<'_>>> = members.iter().map(|member| Some(member.probe())).collect();
    let mut found: Option<(usize, String)> = None;
    poll_fn(|cx| {
        let mut pending = false;
        for (index, slot) in probes.iter_mut().enumerate() {
            match slot.as_mut().map(|probe| probe.as_mut().poll(cx)) {
                Some(Poll::Pending) => pending = true,
                Some(Poll::Ready(result)) => {
                    *slot = None;
                    if let Err(why) = result
                        && found.as_ref().is_none_or(|(first, _)| index < *first)
                    {
                        found = Some((index, why));
                    }
                }
                None => {}
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    found.map_or(Ok(()), |(_, why)| Err(why))
}

impl Backend for TryPass {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(self.ask(exchange))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn children(&self) -> &[Rc<dyn Backend>] {
        &self.members
    }

    fn is_up(&self) -> bool {
        self.members.iter().all(|member| member.is_up())
    }

    fn probe(&self) -> Probe<'_> {
        Box::pin(all_well(&self.members))
    }

    fn report(&self) -> Report {
        Report::of(self, "try_pass", self.says())
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        let names: Vec<&str> = self.members.iter().map(|member| member.name()).collect();
        Explanation {
            backend: self.name.clone(),
            kind: "try_pass",
            says: format!("asks {} until one does not pass; {}", names.join(", then "), self.says()),
            detail: None,
            next: self.members.iter().map(|member| member.explain(request)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Waker};

    /// A backend that is as it is told, and takes two looks to say so.
    struct Told {
        up: Cell<bool>,
        probed: Cell<u32>,
    }

    impl Told {
        fn new(up: bool) -> Rc<Told> {
            Rc::new(Told { up: Cell::new(up), probed: Cell::new(0) })
        }
    }

    impl Backend for Told {
        fn call<'a>(&'a self, _: &'a mut Exchange) -> Call<'a> {
            Box::pin(std::future::ready(Ok(Response::new(StatusCode::OK))))
        }

        fn name(&self) -> &str {
            "told"
        }

        fn is_up(&self) -> bool {
            self.up.get()
        }

        fn probe(&self) -> Probe<'_> {
            let mut looks = 0;
            Box::pin(poll_fn(move |_| {
                looks += 1;
                if looks == 1 {
                    return Poll::Pending;
                }
                self.probed.set(self.probed.get() + 1);
                let number = self.probed.get();
                Poll::Ready(if self.up.get() { Ok(()) } else { Err(format!("down, probe {number}")) })
            }))
        }

        fn report(&self) -> Report {
            let (name, detail) = (String::new(), String::new());
            Report { name, kind: "told", up: self.up.get(), detail, health: None, children: Vec::new() }
        }

        fn explain(&self, _: &Sketch<'_>) -> Explanation {
            let (backend, says) = (String::new(), String::new());
            Explanation { backend, kind: "told", says, detail: None, next: Vec::new() }
        }
    }

    fn try_pass(members: &[Rc<Told>]) -> TryPass {
        let options = TryPassOptions { pass_on: Outcomes::default(), restart_on: None, replay_limit: 1 };
        let members = members.iter().map(|member| Rc::clone(member) as Rc<dyn Backend>).collect();
        TryPass::new("site", members, options, Timers::new())
    }

    #[test]
    fn it_is_up_when_all_its_members_are_and_a_probe_asks_each() {
        let members = [Told::new(true), Told::new(true), Told::new(true)];
        let node = try_pass(&members);
        let mut cx = Context::from_waker(Waker::noop());
        for (down, well) in [(None, Ok(())), (Some(1), Err("down, probe 2".to_owned()))] {
            if let Some(down) = down {
                members[down].up.set(false);
            }
            assert_eq!(node.is_up(), well.is_ok());
            let mut probe = pin!(node.probe());
            assert!(probe.as_mut().poll(&mut cx).is_pending(), "all are asked side by side");
            assert_eq!(probe.as_mut().poll(&mut cx), Poll::Ready(well));
        }
        assert!(members.iter().all(|member| member.probed.get() == 2), "also behind one that is down");
    }
}
