using Gateway.Catalog;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>How a write ended.</summary>
internal enum WriteResult
{
    /// <summary>Done, or nothing to do.</summary>
    Done,

    /// <summary>The service or check it is about does not exist (or is no TTL check).</summary>
    Unknown,

    /// <summary>A compare-and-set that did not match.</summary>
    NoMatch,
}

/// <summary>
/// The embedded catalog: what registrators tell comes in, what blocking queries see goes out. One lock orders the changes; each
/// is written to the journal, applied, and wakes only those it concerns. Readers take records out under the lock and format them
/// outside. Invariant: the index only rises, over restarts too.
/// </summary>
internal sealed partial class EmbeddedCatalogStore : IDisposable
{
    private const ulong IndexesSkippedAtStart = 1000;

    private readonly Lock _lock = new();
    private readonly EmbeddedCatalogState _state = new();
    private readonly CatalogTopics _topics = new();
    private readonly TimeProvider _clock;
    private readonly EmbeddedCatalogJournal? _journal;
    private readonly List<Problem> _problems = [];
    private Problem? _writeProblem;

    /// <param name="clock">Deadlines and ages.</param>
    /// <param name="directory">Where the journal is; null: nothing is kept (unit tests).</param>
    /// <param name="nodeName">Name of the node.</param>
    /// <param name="nodeAddress">Its address, for services without one.</param>
    /// <exception cref="IOException">The directory cannot be used, or another process holds the journal.</exception>
    public EmbeddedCatalogStore(TimeProvider clock, string? directory, string nodeName, string nodeAddress)
    {
        _clock = clock;
        if (directory is not null)
        {
            _journal = EmbeddedCatalogJournal.Open(directory, clock, change => _state.Apply(change), Whole, _problems);
        }

        // What a crash of the machine may have taken was seen by watchers perhaps; its indexes are not used twice.
        _state.SkipIndexes(IndexesSkippedAtStart);
        NodeRecord node = _state.Node;
        if (node.Id.Length == 0 || node.Name != nodeName || node.Address != nodeAddress)
        {
            ulong next = _state.Index + 1;
            string id = node.Id.Length == 0 ? Guid.NewGuid().ToString() : node.Id;
            ulong created = node.Id.Length == 0 ? next : node.CreateIndex;
            Write(new CatalogChange { Index = next, Node = new NodeRecord(id, nodeName, nodeAddress, created, next) });
        }
    }

    /// <summary>Called with the id of a check that came, changed or went, outside the lock. Set once, before use.</summary>
    public Action<string>? CheckChanged { get; set; }

    /// <summary>What is wrong with the file.</summary>
    public EquatableArray<Problem> Problems
    {
        get
        {
            lock (_lock)
            {
                return (_writeProblem is null ? _problems : _problems.Append(_writeProblem)).ToEquatableArray();
            }
        }
    }

    /// <summary>Position that <see cref="CommitAsync"/> must reach before what was done so far is acknowledged.</summary>
    public long Position => _journal?.Written ?? 0;

    /// <summary>Blocking queries at the moment.</summary>
    public int Watchers
    {
        get
        {
            lock (_lock)
            {
                return _topics.Count;
            }
        }
    }

    /// <summary>Reads something consistent. Take records, do not format under the lock.</summary>
    public T Read<T>(Func<EmbeddedCatalogState, T> read)
    {
        lock (_lock)
        {
            return read(_state);
        }
    }

    /// <summary>Returns when everything written so far is on disk.</summary>
    /// <exception cref="IOException">The disk refuses.</exception>
    public ValueTask CommitAsync() => _journal?.CommitAsync(_journal.Written) ?? ValueTask.CompletedTask;

    /// <summary>
    /// Waits until the topic's index is above <paramref name="seen"/>. Returns at once for 0, and for an index that this catalog
    /// never gave: whoever has it must start over, and holding him would hide the catalog from him.
    /// </summary>
    public async Task WaitAsync(Topic topic, ulong seen, TimeSpan wait, CancellationToken stop)
    {
        if (seen == 0)
        {
            return;
        }

        using CancellationTokenSource timeout = new(wait, _clock);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, stop);
        while (!either.IsCancellationRequested)
        {
            CatalogTopics.Signal signal;
            lock (_lock)
            {
                if (_state.IndexOf(topic) > seen || seen > _state.Index)
                {
                    return;
                }

                signal = _topics.Join(topic);
            }

            await signal.Fired.Task.WaitAsync(either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            lock (_lock)
            {
                _topics.Leave(topic, signal);
            }
        }
    }

    /// <summary>Registers a service and its checks, or replaces what has its id. The same again changes nothing.</summary>
    /// <exception cref="IOException">It could not be written; nothing changed.</exception>
    public void Register(ServiceRegistration registration, bool replaceChecks)
    {
        List<string> changed = [];
        lock (_lock)
        {
            ulong next = _state.Index + 1;
            ServiceRecord service = registration.Service;
            ServiceRecord? old = _state.FindService(service.Id);
            List<ServiceRecord> services = [];
            if (old is null || !old.SameContent(service))
            {
                services.Add(service with { CreateIndex = old?.CreateIndex ?? next, ModifyIndex = next });
            }

            List<CheckRecord> checks = [];
            List<Heartbeat> beats = [];
            foreach (CheckRegistration check in registration.Checks)
            {
                // Two checks with one id: the last one counts, as in Consul.
                checks.RemoveAll(c => c.Definition.Id == check.Definition.Id);
                AddCheck(check, next, checks, beats);
                changed.Add(check.Definition.Id);
            }

            List<string> gone = [];
            if (replaceChecks)
            {
                HashSet<string> kept = [.. registration.Checks.Select(c => c.Definition.Id)];
                gone.AddRange(_state.ChecksOf(service.Id)
                    .Where(c => c.Definition.Kind != CheckKind.Maintenance && !kept.Contains(c.Definition.Id))
                    .Select(c => c.Definition.Id));
                changed.AddRange(gone);
            }

            bool visible = services.Count + checks.Count + gone.Count > 0;
            if (visible || beats.Count > 0)
            {
                Write(new CatalogChange
                {
                    Index = visible ? next : _state.Index,
                    Services = OrNull(services),
                    Checks = OrNull(checks),
                    ChecksGone = OrNull(gone),
                    Heartbeats = OrNull(beats),
                });
            }
        }

        Announce(changed);
    }

    /// <summary>Registers a check of a service or of the node.</summary>
    /// <exception cref="IOException">It could not be written; nothing changed.</exception>
    public WriteResult RegisterCheck(CheckRegistration check)
    {
        lock (_lock)
        {
            if (check.Definition.ServiceId.Length > 0 && _state.FindService(check.Definition.ServiceId) is null)
            {
                return WriteResult.Unknown;
            }

            ulong next = _state.Index + 1;
            List<CheckRecord> checks = [];
            List<Heartbeat> beats = [];
            AddCheck(check, next, checks, beats);
            if (checks.Count + beats.Count > 0)
            {
                Write(new CatalogChange
                {
                    Index = checks.Count > 0 ? next : _state.Index,
                    Checks = OrNull(checks),
                    Heartbeats = OrNull(beats),
                });
            }
        }

        Announce([check.Definition.Id]);
        return WriteResult.Done;
    }

    /// <summary>Removes a service with its checks.</summary>
    /// <exception cref="IOException">It could not be written; nothing changed.</exception>
    public WriteResult Deregister(string serviceId)
    {
        string[] checks;
        lock (_lock)
        {
            if (_state.FindService(serviceId) is null)
            {
                return WriteResult.Unknown;
            }

            checks = [.. _state.ChecksOf(serviceId).Select(c => c.Definition.Id)];
            Write(new CatalogChange { Index = _state.Index + 1, ServicesGone = [serviceId] });
        }

        Announce(checks);
        return WriteResult.Done;
    }

    /// <summary>Removes a check.</summary>
    /// <exception cref="IOException">It could not be written; nothing changed.</exception>
    public WriteResult DeregisterCheck(string checkId)
    {
        lock (_lock)
        {
            if (_state.FindCheck(checkId) is null)
            {
                return WriteResult.Unknown;
            }

            Write(new CatalogChange { Index = _state.Index + 1, ChecksGone = [checkId] });
        }

        Announce([checkId]);
        return WriteResult.Done;
    }

    /// <summary>Maintenance of a service, or of the node for the empty id: the critical check that Consul makes of it.</summary>
    /// <exception cref="IOException">It could not be written; nothing changed.</exception>
    public WriteResult SetMaintenance(string serviceId, bool enable, string reason)
    {
        bool node = serviceId.Length == 0;
        string id = node ? "_node_maintenance" : $"_service_maintenance:{serviceId}";
        lock (_lock)
        {
            if (!node && _state.FindService(serviceId) is null)
            {
                return WriteResult.Unknown;
            }

            if (enable == (_state.FindCheck(id) is not null))
            {
                return WriteResult.Done;
            }

            ulong next = _state.Index + 1;
            CheckDefinition definition = new()
            {
                Id = id,
                Name = node ? "Node Maintenance Mode" : "Service Maintenance Mode",
                ServiceId = serviceId,
                Kind = CheckKind.Maintenance,
                Notes = reason.Length > 0
                    ? reason
                    : $"Maintenance mode is enabled for this {(node ? "node" : "service")}, but no reason was provided. "
                        + "This is a default message.",
            };
            CheckRecord check = new()
            {
                Definition = definition,
                CriticalSince = _clock.GetUtcNow(),
                CreateIndex = next,
                ModifyIndex = next,
            };
            Write(enable
                ? new CatalogChange { Index = next, Checks = [check] }
                : new CatalogChange { Index = next, ChecksGone = [id] });
        }

        return WriteResult.Done;
    }

    /// <summary>Writes a key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">Its value.</param>
    /// <param name="flags">A number of the client's own.</param>
    /// <param name="cas">Only if its ModifyIndex is this; 0: only if it does not exist; null: always.</param>
    /// <exception cref="IOException">It could not be written; nothing changed.</exception>
    public WriteResult PutKey(string key, byte[] value, ulong flags, ulong? cas)
    {
        lock (_lock)
        {
            KeyRecord? old = _state.Keys.Find(key);
            if (cas is { } expected && expected != (old?.ModifyIndex ?? 0))
            {
                return WriteResult.NoMatch;
            }

            if (old is null || old.Flags != flags || !old.Value.AsSpan().SequenceEqual(value))
            {
                ulong next = _state.Index + 1;
                KeyRecord record = new(key, value, flags, old?.CreateIndex ?? next, next);
                Write(new CatalogChange { Index = next, Keys = [record] });
            }

            return WriteResult.Done;
        }
    }

    /// <summary>Deletes a key, or everything under a prefix.</summary>
    /// <exception cref="IOException">It could not be written; nothing changed.</exception>
    public WriteResult DeleteKeys(string key, bool recurse, ulong? cas)
    {
        lock (_lock)
        {
            KeyRecord? found = _state.Keys.Find(key);
            if (cas is { } expected && (expected == 0 || (found is not null && expected != found.ModifyIndex)))
            {
                return WriteResult.NoMatch;
            }

            string[] keys = recurse ? [.. _state.Keys.Under(key).Select(k => k.Key)] : found is null ? [] : [key];
            if (keys.Length > 0)
            {
                Write(new CatalogChange { Index = _state.Index + 1, KeysGone = keys });
            }

            return WriteResult.Done;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _journal?.Dispose();
        }
    }

    private static T[]? OrNull<T>(List<T> items) => items.Count == 0 ? null : [.. items];

    private CatalogChange Whole(bool damaged)
    {
        if (damaged)
        {
            // Changes are lost that watchers may have seen, nobody knows how many. Seconds since 1970 are above any index
            // that a catalog reaches by counting its changes, and above those of an earlier damage.
            _state.RaiseIndex((ulong)_clock.GetUtcNow().ToUnixTimeSeconds());
        }

        return _state.ToChange();
    }

    /// <summary>Writes and applies a change that nobody waits for: it counts even if the disk is full.</summary>
    private void Try(CatalogChange change)
    {
        try
        {
            Write(change);
        }
        catch (IOException)
        {
            _state.Apply(change, _topics);
        }
    }

    /// <summary>1. to the journal, 2. to the state, waking whom it concerns, 3. shorten the journal when it has grown.</summary>
    private void Write(CatalogChange change)
    {
        try
        {
            _journal?.Append(change);
            _writeProblem = null;
        }
        catch (IOException failure)
        {
            _writeProblem = new Problem
            {
                Code = ProblemCodes.CatalogJournalWrite,
                Place = "embedded catalog",
                Value = failure.Message,
                ValueMoves = true,
                Allowed = "a state directory that takes writes",
                Now = "registrations and KV writes are refused until the disk takes them; what is registered is served",
            };
            throw;
        }

        _state.Apply(change, _topics);
        if (_journal is { WantsRewrite: true })
        {
            try
            {
                _journal.Rewrite(_state.ToChange());
            }
            catch (IOException)
            {
                // The old file goes on and grows; the next change tries again.
            }
        }
    }

    private void Announce(IEnumerable<string> checkIds)
    {
        if (CheckChanged is { } announce)
        {
            foreach (string id in checkIds)
            {
                announce(id);
            }
        }
    }
}
