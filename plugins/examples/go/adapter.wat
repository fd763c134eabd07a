;; What Go's runtime calls of WASI (`wasi_snapshot_preview1`), for a plugin: no time, no files, no arguments, and what is printed goes to
;; the host's log.
;;
;; It stands in for wasi_snapshot_preview1.reactor.wasm, with which a plugin in Go traps ("cannot leave component instance"). Go's collector
;; asks for the time wherever it runs, and it also runs in `cabi_realloc`, where the host hands an argument over. There a component must not
;; call the host, as that adapter does for the time. This one calls the host for output alone.
(module
  (import "env" "memory" (memory 0))
  ;; level, address, length
  (import "larder:storage/log@0.2.0" "write" (func $log (param i32 i32 i32)))

  ;; Nanoseconds: a microsecond more with each call.
  (global $now (mut i64) (i64.const 1))
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    (global.set $now (i64.add (global.get $now) (i64.const 1000)))
    (i64.store (local.get $time) (global.get $now))
    (i32.const 0))
  (func (export "adapter_monotonic_clock_set_paused") (param i32))

  ;; The same numbers in every instance. What must not be guessed is made from `environment.seed`.
  (global $random (mut i64) (i64.const 0x9e3779b97f4a7c15))
  (func (export "random_get") (param $at i32) (param $len i32) (result i32)
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $len)))
        (global.set $random
          (i64.add (i64.mul (global.get $random) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
        (i32.store8 (local.get $at) (i32.wrap_i64 (i64.shr_u (global.get $random) (i64.const 33))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; Each piece that is written is a line of the log, without its line feeds: of level `info` (2) to the file 1, `error` (4) to 2.
  (func (export "fd_write") (param $file i32) (param $piece i32) (param $pieces i32) (param $written i32) (result i32)
    (local $sum i32) (local $len i32)
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $pieces)))
        (local.set $len (i32.load offset=4 (local.get $piece)))
        (local.set $sum (i32.add (local.get $sum) (local.get $len)))
        (call $line (local.get $file) (i32.load (local.get $piece)) (local.get $len))
        (local.set $piece (i32.add (local.get $piece) (i32.const 8)))
        (local.set $pieces (i32.sub (local.get $pieces) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))
  (func $line (param $file i32) (param $at i32) (param $len i32)
    (block $end
      (loop $trim
        (br_if $end (i32.eqz (local.get $len)))
        (if (i32.eq (i32.load8_u (i32.sub (i32.add (local.get $at) (local.get $len)) (i32.const 1))) (i32.const 10))
          (then
            (local.set $len (i32.sub (local.get $len) (i32.const 1)))
            (br $trim))))
      (call $log (i32.mul (local.get $file) (i32.const 2)) (local.get $at) (local.get $len))))

  ;; GOTRACEBACK=none: a panic prints its text. The stack is in what the host tells of the trap.
  (func (export "environ_sizes_get") (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 1))
    (i32.store (local.get $bytes) (i32.const 17))
    (i32.const 0))
  (func (export "environ_get") (param $list i32) (param $at i32) (result i32)
    (i32.store (local.get $list) (local.get $at))
    (i64.store (local.get $at) (i64.const 0x4245434152544f47)) ;; GOTRACEB
    (i64.store offset=8 (local.get $at) (i64.const 0x656e6f6e3d4b4341)) ;; ACK=none
    (i32.store8 offset=16 (local.get $at) (i32.const 0))
    (i32.const 0))

  (func (export "args_sizes_get") (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))

  ;; Nothing is waited for.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $events i32) (result i32)
    (i32.store (local.get $events) (i32.const 0))
    (i32.const 0))
  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) unreachable)

  ;; No file is open: 8 is `badf`.
  (func (export "fd_close") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8)))
