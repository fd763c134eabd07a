//! Calls on a component's exports, and the types of these.

/// Calls on a component's exports, for `impl Plugin`.
macro_rules! calls {
    (describe) => {
        pub(crate) async fn describe(
            &self,
            store: &mut Store<GuestState>,
        ) -> wasmtime::Result<Info> {
            let info = self.larder_storage_lifecycle().call_describe(store).await?;
            Ok(info.into())
        }
    };
    (open) => {
        pub(crate) async fn open(
            &self,
            store: &mut Store<GuestState>,
            environment: Environment<'_>,
        ) -> wasmtime::Result<Result<(), GuestError>> {
            let settings = environment.settings.iter();
            let settings: Vec<_> = settings
                .map(|(name, value)| lifecycle::Setting { name, value })
                .collect();
            let environment = Self::environment(&environment, &settings);
            let guest = self.larder_storage_lifecycle();
            let called = guest.call_open(store, environment).await?;
            Ok(shared::answer(called))
        }
    };
    (find) => {
        pub(crate) async fn find(
            &self,
            store: &mut Store<GuestState>,
            search: &storage::Search,
            resume: Option<&[u8]>,
            limit: u32,
        ) -> wasmtime::Result<Result<storage::Sightings, GuestError>>
        {
            let clauses: Vec<_> = search.clauses.iter().map(Vec::as_slice).collect();
            let search = reader::Search {
                starts: search.starts.into(),
                durations: search.durations.into(),
                clauses: &clauses,
            };
            let guest = self.larder_storage_reader();
            let called = guest.call_find(store, search, resume, limit).await?;
            Ok(shared::answer(called))
        }
    };
    (read) => {
        pub(crate) async fn read(
            &self,
            store: &mut Store<GuestState>,
            wanted: &storage::Wanted,
            part: storage::Part,
            resume: Option<&[u8]>,
            max_bytes: u32,
        ) -> wasmtime::Result<Result<storage::Pieces, GuestError>>
        {
            let ids: Vec<types::TraceId>;
            let wanted = match wanted {
                storage::Wanted::Traces(traces) => {
                    ids = traces.iter().copied().map(Into::into).collect();
                    reader::Wanted::Traces(&ids)
                }
                storage::Wanted::Fragments(fragments) => {
                    reader::Wanted::Fragments(fragments)
                }
            };
            let guest = self.larder_storage_reader();
            let called = guest.call_read(store, wanted, part.into(), resume, max_bytes).await?;
            Ok(shared::answer(called))
        }
    };
    (services) => {
        pub(crate) async fn services(
            &self,
            store: &mut Store<GuestState>,
        ) -> wasmtime::Result<Result<Vec<String>, GuestError>> {
            let called = self.larder_storage_reader().call_services(store).await?;
            Ok(shared::answer(called))
        }
    };
    (operations) => {
        pub(crate) async fn operations(
            &self,
            store: &mut Store<GuestState>,
            service: &str,
        ) -> wasmtime::Result<
            Result<Vec<storage::Operation>, GuestError>,
        > {
            let called = self.larder_storage_reader().call_operations(store, service).await?;
            Ok(shared::answer_list(called))
        }
    };
    ($first:ident, $($rest:ident),+ $(,)?) => {
        calls! { $first }
        $(calls! { $rest })+
    };
}

/// The types of the functions that [`calls`] calls, as a list of checks by `exports`.
macro_rules! signatures {
    ($exports:ident: $($function:ident),* $(,)?) => {
        vec![$(signatures! { @ $exports $function }),*]
    };
    (@ $exports:ident describe) => {
        $exports.function::<(), (lifecycle::Info,)>("lifecycle", "describe")
    };
    (@ $exports:ident open) => {
        $exports.function::<(lifecycle::Environment<'static>,), (Result<(), types::Error>,)>(
            "lifecycle", "open",
        )
    };
    (@ $exports:ident find) => {
        $exports.function::<
            (reader::Search<'static>, Option<&'static [u8]>, u32),
            (Result<reader::Sightings, types::Error>,),
        >("reader", "find")
    };
    (@ $exports:ident read) => {
        $exports.function::<
            (reader::Wanted<'static>, reader::Part, Option<&'static [u8]>, u32),
            (Result<reader::Pieces, types::Error>,),
        >("reader", "read")
    };
    (@ $exports:ident services) => {
        $exports.function::<(), (Result<Vec<String>, types::Error>,)>("reader", "services")
    };
    (@ $exports:ident operations) => {
        $exports.function::<(&'static str,), (Result<Vec<types::Operation>, types::Error>,)>(
            "reader", "operations",
        )
    };
}

pub(in super::super) use {calls, signatures};
