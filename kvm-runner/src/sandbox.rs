//! What this process may still do once a guest runs.
//!
//! A guest is foreign code, and device models are programs with mistakes. So
//! before the first instruction the process gives up what a run does not need:
//!
//! - new privileges, by any program it could start (`no_new_privs`);
//! - system calls outside of a short list, by seccomp: no file opened, no
//!   program started, no connection made, no memory made executable, no
//!   terminal typed into. What libraries merely try is refused with an error
//!   number; anything else ends the process with a sentence;
//! - files and TCP, once more, by Landlock where the kernel has it.
//!
//! Files that are complete only in the end are open by then and get their names
//! then: so names can be made and removed, in the folders that are given.
//!
//! All that must come before other threads: Landlock binds the calling thread
//! and those it starts.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Why there is no sandbox.
#[derive(Debug)]
pub struct SandboxError(String);

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this process cannot confine itself ({}); --no-sandbox runs the guest all the same, \
             with everything that you may do open to whoever breaks out of it",
            self.0
        )
    }
}

impl std::error::Error for SandboxError {}

impl SandboxError {
    fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Where a confined process can give files a name and take it from them. It can
/// open none anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// In the folders that were given and in what is below them, as Landlock
    /// watches.
    InFolders,
    /// Wherever this user can: folders were given, and the kernel has no
    /// Landlock.
    Anywhere,
}

/// Confines this process, for good. Open files can still get a name in
/// `folders`. To be called while there is a single thread.
///
/// # Errors
/// Fails where the kernel has no seccomp. Where it has no Landlock, seccomp
/// alone must do.
pub fn confine(folders: &[&Path]) -> Result<Names, SandboxError> {
    say_what_was_stopped()?;
    let landlock = confine_names(folders).map_err(SandboxError::of)?;
    let gives_names = !folders.is_empty();
    let filters =
        [failing(&UNKNOWN, libc::ENOSYS)?, failing(&REFUSED, libc::EACCES)?, allowed(gives_names)?];
    for filter in filters {
        seccompiler::apply_filter(&filter).map_err(SandboxError::of)?;
    }
    match landlock {
        RulesetStatus::NotEnforced if gives_names => Ok(Names::Anywhere),
        _ => Ok(Names::InFolders),
    }
}

/// Landlock: no file opened, no name made or removed but in these folders, no
/// TCP, no signal to others.
fn confine_names(folders: &[&Path]) -> Result<RulesetStatus, landlock::RulesetError> {
    const NEWEST: ABI = ABI::V6;
    // Not Refer: a file without a name belongs to the folder it was made in.
    let names = AccessFs::MakeReg | AccessFs::RemoveFile;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for folder in folders {
        // A folder that is not there takes no file either.
        if let Ok(folder) = PathFd::new(folder) {
            rules = rules.add_rule(PathBeneath::new(folder, names))?;
        }
    }
    rules.restrict_self().map(|status| status.ruleset)
}

/// Whether the kernel has Landlock, for whoever wants to say so.
pub fn has_landlock() -> bool {
    // SAFETY: with these arguments the call only tells the version.
    let version = unsafe {
        let ask = 1; // LANDLOCK_CREATE_RULESET_VERSION
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, ask)
    };
    version > 0
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Starts a thread; no filter can see its arguments. The C library then takes
/// the older call.
const UNKNOWN: [i64; 1] = [libc::SYS_clone3];

/// What libraries try and can do without: the last by whoever shows where a
/// panic came from.
const REFUSED: [i64; 9] = [
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_access,
    libc::SYS_socket,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
];

/// These calls fail with an error number.
fn failing(calls: &[i64], errno: libc::c_int) -> Result<BpfProgram, SandboxError> {
    let rules = calls.iter().map(|call| (*call, vec![])).collect();
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32))
}

/// What a run needs. Anything else is the end.
fn allowed(gives_names: bool) -> Result<BpfProgram, SandboxError> {
    let mut rules = Rules::new();
    let mut allow = |calls: &[i64]| rules.extend(calls.iter().map(|call| (*call, vec![])));
    // Of several filters the strictest answer counts: those fail already.
    allow(&UNKNOWN);
    allow(&REFUSED);
    // Open files and pipes: text, images, disks, terminals, a debugger.
    allow(&[libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev]);
    allow(&[libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_lseek, libc::SYS_close]);
    allow(&[libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_ftruncate, libc::SYS_fstat]);
    allow(&[libc::SYS_poll, libc::SYS_ppoll, libc::SYS_dup, libc::SYS_eventfd2]);
    allow(&[libc::SYS_accept4]);
    // Threads, their memory, their clocks.
    allow(&[libc::SYS_futex, libc::SYS_set_robust_list, libc::SYS_rseq, libc::SYS_sched_yield]);
    allow(&[libc::SYS_gettid, libc::SYS_getpid, libc::SYS_sched_getaffinity, libc::SYS_exit]);
    allow(&[libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_brk]);
    allow(&[libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_nanosleep]);
    allow(&[libc::SYS_getrandom, libc::SYS_restart_syscall, libc::SYS_membarrier]);
    // Signals, and the end.
    allow(&[libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn]);
    allow(&[libc::SYS_rt_sigtimedwait, libc::SYS_sigaltstack, libc::SYS_wait4]);
    allow(&[libc::SYS_exit_group]);
    if gives_names {
        allow(&[libc::SYS_linkat, libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2]);
        allow(&[libc::SYS_unlink, libc::SYS_unlinkat]);
    }
    for (call, conditions) in conditional()? {
        rules.insert(call, conditions);
    }
    compile(rules, SeccompAction::Trap, SeccompAction::Allow)
}

/// Calls that are allowed with some arguments.
fn conditional() -> Result<Rules, SandboxError> {
    const THREAD: u64 = (libc::CLONE_THREAD | libc::CLONE_VM) as u64;
    const EXECUTABLE: u64 = libc::PROT_EXEC as u64;
    // The type of an ioctl is its second byte; KVM's is 0xae.
    const TYPE: u64 = 0xff00;
    const KVM: u64 = 0xae00;
    let own = u64::from(std::process::id());
    let exactly = SeccompCmpOp::Eq;
    let mut rules = Rules::new();
    let no_code = || when(2, SeccompCmpOp::MaskedEq(EXECUTABLE), 0);
    rules.insert(libc::SYS_mmap, vec![no_code()?]);
    rules.insert(libc::SYS_mprotect, vec![no_code()?]);
    rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(THREAD), THREAD)?]);
    rules.insert(libc::SYS_tgkill, vec![when(0, exactly.clone(), own)?]);
    let ioctls = [libc::TCGETS, libc::TCSETS, libc::TCSETSW, libc::FIONBIO, libc::TIOCGWINSZ];
    let mut requests = vec![when(1, SeccompCmpOp::MaskedEq(TYPE), KVM)?];
    for request in ioctls {
        requests.push(when(1, exactly.clone(), request)?);
    }
    rules.insert(libc::SYS_ioctl, requests);
    // The name of a thread, the name of a piece of memory.
    let names = [libc::PR_SET_NAME, libc::PR_SET_VMA];
    let names = names.map(|name| when(0, exactly.clone(), name as u64));
    rules.insert(libc::SYS_prctl, names.into_iter().collect::<Result<_, _>>()?);
    let fcntl = [libc::F_GETFL, libc::F_SETFL, libc::F_GETFD, libc::F_SETFD, libc::F_DUPFD_CLOEXEC];
    let fcntl = fcntl.map(|command| when(1, exactly.clone(), command as u64));
    rules.insert(libc::SYS_fcntl, fcntl.into_iter().collect::<Result<_, _>>()?);
    Ok(rules)
}

/// A rule about the low half of one argument.
fn when(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, SandboxError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value);
    SeccompRule::new(vec![condition.map_err(SandboxError::of)?]).map_err(SandboxError::of)
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, SandboxError> {
    let filter = SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64);
    filter.and_then(BpfProgram::try_from).map_err(SandboxError::of)
}

/// A call that is not allowed ends the process with a sentence, where seccomp
/// by itself would end it without.
fn say_what_was_stopped() -> Result<(), SandboxError> {
    // SAFETY: all zeroes is a valid `sigaction`; the handler only makes system
    // calls.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = stopped as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut())
    };
    if set < 0 { Err(SandboxError::of(io::Error::last_os_error())) } else { Ok(()) }
}

/// Exit code of a process that tried something it had given up.
pub const STOPPED: i32 = 6;

extern "C" fn stopped(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    /// Offset of `si_syscall` in the structure: three numbers, padding, and the
    /// address of the call (`siginfo_t`, `_sigsys`).
    const SI_SYSCALL: usize = 24;
    // SAFETY: the kernel has filled in the structure for a SIGSYS.
    let call = unsafe { info.cast::<u8>().add(SI_SYSCALL).cast::<libc::c_int>().read() };
    let mut text =
        *b"kvm-runner: the sandbox stopped system call      : a mistake in the runner, or a \
                      guest that has broken a device\n";
    let digits =
        text.len() - b": a mistake in the runner, or a guest that has broken a device\n".len();
    let mut rest = call.unsigned_abs();
    for at in (digits - 4..digits).rev() {
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    // SAFETY: the buffer is valid; nothing of Rust runs after it.
    unsafe {
        libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        libc::_exit(STOPPED)
    }
}
