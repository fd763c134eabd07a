//! Long texts as instrumentation writes them: a statement, an URL and a stack trace, about 200 words a span together.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::pick;
use crate::values::key_value;

const TABLES: [&str; 8] = [
    "orders",
    "customers",
    "line_items",
    "payments",
    "inventory",
    "carts",
    "sessions",
    "audit_log",
];
const COLUMNS: [&str; 12] = [
    "id",
    "customer_id",
    "created_at",
    "updated_at",
    "status",
    "total_cents",
    "currency",
    "shipping_address",
    "sku",
    "quantity",
    "warehouse_id",
    "email",
];
const CLASSES: [&str; 10] = [
    "OrderController",
    "CheckoutService",
    "PaymentGateway",
    "InventoryRepository",
    "TransactionInterceptor",
    "RetryTemplate",
    "DispatcherServlet",
    "FilterChainProxy",
    "ThreadPoolExecutor",
    "ConnectionPool",
];
const METHODS: [&str; 10] = [
    "handle",
    "invoke",
    "execute",
    "doFilter",
    "proceed",
    "submitOrder",
    "authorize",
    "acquireConnection",
    "runWorker",
    "processRequest",
];

/// Adds the texts to a span.
pub(super) fn add(span: &mut Span, random: &mut fastrand::Rng) {
    let mut column = || pick(COLUMNS, random.usize(0..COLUMNS.len()));
    let columns: Vec<_> = (0..9).map(|_| column()).collect();
    let table = pick(TABLES, random.usize(0..TABLES.len()));
    let statement = format!(
        "SELECT {} FROM {table} WHERE {} = {} AND {} > '2026-01-{:02}' ORDER BY {} DESC LIMIT {}",
        columns.join(", "),
        pick(COLUMNS, random.usize(0..COLUMNS.len())),
        random.u32(..),
        pick(COLUMNS, random.usize(0..COLUMNS.len())),
        random.u8(1..29),
        pick(COLUMNS, random.usize(0..COLUMNS.len())),
        random.u32(10..500),
    );
    let url = format!(
        "https://api.shop.example.com/api/v1/{table}/{}?page={}&sort={}&session={:016x}",
        random.u32(..),
        random.u8(..),
        pick(COLUMNS, random.usize(0..COLUMNS.len())),
        random.u64(..),
    );
    let mut trace = format!(
        "com.shop.errors.{table}Exception: cannot read {}\n",
        random.u32(..)
    );
    for _ in 0..17 {
        let class = pick(CLASSES, random.usize(0..CLASSES.len()));
        let method = pick(METHODS, random.usize(0..METHODS.len()));
        let line = random.u16(10..900);
        // A String takes all.
        let _ = writeln!(
            trace,
            "\tat com.shop.{table}.{class}.{method}({class}.java:{line})"
        );
    }
    span.attributes.extend([
        key_value("db.query.text", statement),
        key_value("url.full", url),
        key_value("exception.stacktrace", trace),
    ]);
}
