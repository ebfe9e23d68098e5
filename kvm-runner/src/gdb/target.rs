//! The debugger's questions and orders, as gdbstub hands them on.

use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::single_register_access::{
    SingleRegisterAccess, SingleRegisterAccessOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps,
    SwBreakpoint, SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use igvm_core::x86::Mode;

use super::debugger::{Debugger, Resumption, thread_id};
use super::description::{Block, Number, X86};
use super::monitor;
use super::registers::{Snapshot, TABLE};
use crate::guest::BootError;
use crate::kvm::{Activity, Breakpoint, Processor, Translation, Trigger};

/// There is no memory, or no such thread.
const EFAULT: u8 = 14;

impl Target for Debugger<'_, '_> {
    type Arch = X86;
    type Error = BootError;

    fn base_ops(&mut self) -> BaseOps<'_, Self::Arch, Self::Error> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl Debugger<'_, '_> {
    fn stands(&self, tid: Tid) -> TargetResult<Processor<'_>, Self> {
        self.processor(tid).ok_or(TargetError::Errno(EFAULT))
    }

    fn snapshot(&self, tid: Tid) -> TargetResult<Snapshot, Self> {
        let processor = self.stands(tid)?;
        let file = processor.registers().map_err(|_| TargetError::NonFatal)?;
        let fpu = processor.floating_point().map_err(|_| TargetError::NonFatal)?;
        Ok(Snapshot { file, fpu })
    }
}

impl MultiThreadBase for Debugger<'_, '_> {
    fn read_registers(&mut self, block: &mut Block, tid: Tid) -> TargetResult<(), Self> {
        let snapshot = self.snapshot(tid)?;
        block.pc = snapshot.file.rip;
        block.bytes = TABLE.iter().flat_map(|entry| entry.read(&snapshot)).collect();
        Ok(())
    }

    fn write_registers(&mut self, block: &Block, tid: Tid) -> TargetResult<(), Self> {
        let mut file = self.snapshot(tid)?.file;
        let mut at = 0;
        for entry in TABLE.iter() {
            let bytes = block.bytes.get(at..at + entry.bytes).ok_or(TargetError::NonFatal)?;
            // Registers that cannot be set come with those that can.
            let _stays = entry.write(&mut file, bytes);
            at += entry.bytes;
        }
        self.stands(tid)?.set_registers(&file).map_err(|_| TargetError::NonFatal)
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        match self.stands(tid)?.read_linear(start, data) {
            0 if !data.is_empty() => Err(TargetError::Errno(EFAULT)),
            read => Ok(read),
        }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        match self.stands(tid)?.write_linear(start, data) == data.len() {
            true => Ok(()),
            false => Err(TargetError::Errno(EFAULT)),
        }
    }

    fn list_active_threads(&mut self, each: &mut dyn FnMut(Tid)) -> Result<(), BootError> {
        (0..self.session.machine.processors()).map(thread_id).for_each(each);
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for Debugger<'_, '_> {
    fn read_register(
        &mut self,
        tid: Tid,
        Number(id): Number,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let entry = TABLE.get(id).ok_or(TargetError::NonFatal)?;
        let bytes = entry.read(&self.snapshot(tid)?);
        buffer.get_mut(..bytes.len()).ok_or(TargetError::NonFatal)?.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_register(
        &mut self,
        tid: Tid,
        Number(id): Number,
        bytes: &[u8],
    ) -> TargetResult<(), Self> {
        let entry = TABLE.get(id).ok_or(TargetError::NonFatal)?;
        let mut file = self.snapshot(tid)?.file;
        match entry.write(&mut file, bytes) {
            true => self.stands(tid)?.set_registers(&file).map_err(|_| TargetError::NonFatal),
            false => Err(TargetError::NonFatal),
        }
    }
}

impl ThreadExtraInfo for Debugger<'_, '_> {
    fn thread_extra_info(&self, tid: Tid, buffer: &mut [u8]) -> Result<usize, BootError> {
        let Some(processor) = self.processor(tid) else { return Ok(0) };
        let mode = Mode::of(&processor.main_registers()?);
        let text = match processor.activity() {
            Activity::Runs => format!("processor {}, {mode}", processor.vp_index()),
            waits => format!("processor {}, {mode}, {waits}", processor.vp_index()),
        };
        let len = text.len().min(buffer.len());
        buffer[..len].copy_from_slice(&text.as_bytes()[..len]);
        Ok(len)
    }
}

impl MultiThreadResume for Debugger<'_, '_> {
    /// The machine goes on when the debugger has been answered.
    fn resume(&mut self) -> Result<(), BootError> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), BootError> {
        self.resumption = Resumption::default();
        Ok(())
    }

    fn set_resume_action_continue(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), BootError> {
        self.resumption.go.get_or_insert((tid.get() - 1) as u32);
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Debugger<'_, '_> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), BootError> {
        self.resumption.step.get_or_insert((tid.get() - 1) as u32);
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Debugger<'_, '_> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), BootError> {
        self.resumption.locked = true;
        Ok(())
    }
}

impl Breakpoints for Debugger<'_, '_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Debugger<'_, '_> {
    fn add_sw_breakpoint(&mut self, linear: u64, _kind: usize) -> TargetResult<bool, Self> {
        let processor = self.stands(thread_id(self.focus))?;
        match processor.translate(linear) {
            Translation::Memory(gpa) => Ok(self.breakpoints.add_software(linear, gpa)),
            Translation::NoMemory(_) | Translation::Unmapped => Err(TargetError::Errno(EFAULT)),
        }
    }

    fn remove_sw_breakpoint(&mut self, linear: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.breakpoints.remove_software(linear))
    }
}

impl HwBreakpoint for Debugger<'_, '_> {
    fn add_hw_breakpoint(&mut self, linear: u64, _kind: usize) -> TargetResult<bool, Self> {
        let breakpoint = Breakpoint { linear, trigger: Trigger::Execute };
        Ok(self.breakpoints.add_hardware(breakpoint))
    }

    fn remove_hw_breakpoint(&mut self, linear: u64, _kind: usize) -> TargetResult<bool, Self> {
        let breakpoint = Breakpoint { linear, trigger: Trigger::Execute };
        Ok(self.breakpoints.remove_hardware(breakpoint))
    }
}

/// A watchpoint, if a debug register can hold it. x86 has none for reads alone.
fn watchpoint(linear: u64, len: u64, kind: WatchKind) -> Option<Breakpoint> {
    let fits = matches!(len, 1 | 2 | 4 | 8) && linear.is_multiple_of(len);
    let trigger = match kind {
        WatchKind::Write => Trigger::Write(len as u8),
        WatchKind::ReadWrite => Trigger::Access(len as u8),
        WatchKind::Read => return None,
    };
    fits.then_some(Breakpoint { linear, trigger })
}

impl HwWatchpoint for Debugger<'_, '_> {
    fn add_hw_watchpoint(
        &mut self,
        linear: u64,
        len: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let breakpoint = watchpoint(linear, len, kind);
        Ok(breakpoint.is_some_and(|it| self.breakpoints.add_hardware(it)))
    }

    fn remove_hw_watchpoint(
        &mut self,
        linear: u64,
        len: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let breakpoint = watchpoint(linear, len, kind);
        Ok(breakpoint.is_some_and(|it| self.breakpoints.remove_hardware(it)))
    }
}

impl MonitorCmd for Debugger<'_, '_> {
    fn handle_monitor_cmd(
        &mut self,
        command: &[u8],
        mut out: ConsoleOutput<'_>,
    ) -> Result<(), BootError> {
        let answer = monitor::answer(self, &String::from_utf8_lossy(command))?;
        out.write_raw(answer.as_bytes());
        Ok(())
    }
}
