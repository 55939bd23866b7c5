namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// The catalog as the fold of its changes: services, checks, keys and the index of everything that can be watched. No clock, no
/// lock, no disk; <see cref="EmbeddedCatalogStore"/> adds those. Invariant: no index ever goes back, also for what is gone.
/// </summary>
internal sealed class EmbeddedCatalogState
{
    private const int ExtinctMax = 4096;
    private static readonly SortedSet<string> None = [];

    private readonly Dictionary<string, ServiceRecord> _services = new(StringComparer.Ordinal);
    private readonly Dictionary<string, CheckRecord> _checks = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, SortedSet<string>> _idsByName = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SortedSet<string>> _checksByService = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ServiceIndexes> _indexes = new(StringComparer.Ordinal);
    private ulong _servicesIndex = 1;
    private ulong _stateIndex = 1;
    private ulong _nodeHealthIndex = 1;
    private ulong _extinctFloor = 1;

    public ulong Index { get; private set; } = 1;

    public NodeRecord Node { get; private set; } = new("", "", "", 1, 1);

    public KeyTree Keys { get; } = new();

    public IEnumerable<string> ServiceNames => _idsByName.Keys;

    public IEnumerable<ServiceRecord> Services => _idsByName.Values.SelectMany(ids => ids).Select(id => _services[id]);

    public IEnumerable<CheckRecord> Checks => _checks.Values.OrderBy(c => c.Definition.Id, StringComparer.Ordinal);

    public ServiceRecord? FindService(string id) => _services.GetValueOrDefault(id);

    public CheckRecord? FindCheck(string id) => _checks.GetValueOrDefault(id);

    public IEnumerable<ServiceRecord> Instances(string name) =>
        _idsByName.GetValueOrDefault(name, None).Select(id => _services[id]);

    /// <summary>Checks of a service by id; the node's own for the empty id.</summary>
    public IEnumerable<CheckRecord> ChecksOf(string serviceId) =>
        _checksByService.GetValueOrDefault(serviceId, None).Select(id => _checks[id]);

    /// <summary>What <c>X-Consul-Index</c> says for a topic.</summary>
    public ulong IndexOf(Topic topic) => topic.Kind switch
    {
        TopicKind.Services => _servicesIndex,
        TopicKind.State => _stateIndex,
        TopicKind.Node => Node.ModifyIndex,
        TopicKind.Key => Keys.IndexOf(topic.Name),
        TopicKind.KeyPrefix => Keys.IndexUnder(topic.Name),
        TopicKind.Definition => Indexes(topic.Name)?.Definition ?? _extinctFloor,
        TopicKind.Checks => Indexes(topic.Name)?.Health ?? _extinctFloor,

        // A node's check counts for every service on the node, but not for a name that has no instance there.
        TopicKind.Health => Math.Max(
            Indexes(topic.Name)?.Health ?? _extinctFloor, _idsByName.ContainsKey(topic.Name) ? _nodeHealthIndex : 0),
        _ => throw new ArgumentOutOfRangeException(nameof(topic)),
    };

    /// <summary>Applies a change and fires what it touches.</summary>
    public void Apply(CatalogChange change, CatalogTopics? topics = null)
    {
        Index = Math.Max(Index, change.Index);
        if (change.Node is { } node)
        {
            Node = node;
            if (node.ModifyIndex == change.Index)
            {
                topics?.Fire(new Topic(TopicKind.Node));
                TouchNodeHealth(change.Index, topics);
            }
        }

        // Gone before new: a service that changes its name under one id leaves its old name first.
        foreach (string id in change.ChecksGone ?? [])
        {
            RemoveCheck(id, change.Index, topics);
        }

        foreach (string id in change.ServicesGone ?? [])
        {
            RemoveService(id, change.Index, topics);
        }

        foreach (ServiceRecord service in change.Services ?? [])
        {
            PutService(service, change.Index, topics);
        }

        foreach (CheckRecord check in change.Checks ?? [])
        {
            PutCheck(check, change.Index, topics);
        }

        foreach (Heartbeat beat in change.Heartbeats ?? [])
        {
            if (_checks.TryGetValue(beat.CheckId, out CheckRecord? check))
            {
                _checks[beat.CheckId] = check with { Deadline = beat.Deadline };
            }
        }

        foreach (KeyRecord key in change.Keys ?? [])
        {
            Keys.Put(key);
            topics?.FireKey(key.Key);
        }

        foreach (string key in change.KeysGone ?? [])
        {
            Keys.Remove(key, change.Index);
            topics?.FireKey(key);
        }

        if (change.Indexes is { } indexes)
        {
            Restore(indexes);
        }
    }

    /// <summary>Replaces a check by one that looks the same to watchers (output, deadline).</summary>
    public void PutQuietly(CheckRecord check) => _checks[check.Definition.Id] = check;

    /// <summary>The whole catalog as one change, for a rewritten journal.</summary>
    public CatalogChange ToChange() => new()
    {
        Index = Index,
        Node = Node,
        Services = [.. Services],
        Checks = [.. Checks],
        Keys = [.. Keys.All],
        Indexes = new CatalogIndexes(
            _servicesIndex,
            _stateIndex,
            _nodeHealthIndex,
            _extinctFloor,
            Keys.Floor,
            [.. _indexes.Select(i => new NamedIndex(i.Key, i.Value.Definition, i.Value.Health))],
            Keys.Tombstones()),
    };

    /// <summary>Lifts every index, when changes may have been lost that watchers saw.</summary>
    public void RaiseIndex(ulong atLeast)
    {
        Index = Math.Max(Index, atLeast);
        _servicesIndex = _stateIndex = _nodeHealthIndex = _extinctFloor = Index;
        Keys.Restore(Index, []);
        foreach (ServiceIndexes indexes in _indexes.Values)
        {
            indexes.Definition = indexes.Health = Index;
        }
    }

    /// <summary>Lets the next change's index begin higher, without anything having changed for watchers.</summary>
    public void SkipIndexes(ulong count) => Index += count;

    private ServiceIndexes? Indexes(string name) => _indexes.GetValueOrDefault(name);

    private void PutService(ServiceRecord service, ulong index, CatalogTopics? topics)
    {
        ServiceRecord? old = _services.GetValueOrDefault(service.Id);
        if (old is not null && old.Name != service.Name)
        {
            Forget(old);
            TouchDefinition(old.Name, index, topics);
        }

        _services[service.Id] = service;
        if (!_idsByName.TryGetValue(service.Name, out SortedSet<string>? ids))
        {
            _idsByName.Add(service.Name, ids = new SortedSet<string>(StringComparer.Ordinal));
        }

        ids.Add(service.Id);
        if (service.ModifyIndex == index)
        {
            TouchDefinition(service.Name, index, topics);

            // A check shows its service's name and tags.
            if (old is not null && (old.Tags != service.Tags || old.Name != service.Name) && ChecksOf(service.Id).Any())
            {
                TouchState(index, topics);
            }
        }
    }

    private void RemoveService(string id, ulong index, CatalogTopics? topics)
    {
        if (!_services.Remove(id, out ServiceRecord? service))
        {
            return;
        }

        foreach (CheckRecord check in ChecksOf(id).ToArray())
        {
            RemoveCheck(check.Definition.Id, index, topics);
        }

        Forget(service);
        TouchDefinition(service.Name, index, topics);
    }

    private void Forget(ServiceRecord service)
    {
        SortedSet<string> ids = _idsByName[service.Name];
        ids.Remove(service.Id);
        if (ids.Count > 0)
        {
            return;
        }

        _idsByName.Remove(service.Name);
        if (_indexes.Count > _idsByName.Count + ExtinctMax)
        {
            // Names come and go for years: the oldest extinct ones share one index, which is that of the newest among them.
            foreach ((string name, ServiceIndexes indexes) in _indexes
                .Where(i => !_idsByName.ContainsKey(i.Key)).OrderBy(i => i.Value.Health).Take(ExtinctMax / 2).ToArray())
            {
                _indexes.Remove(name);
                _extinctFloor = Math.Max(_extinctFloor, Math.Max(indexes.Health, indexes.Definition));
            }
        }
    }

    private void PutCheck(CheckRecord check, ulong index, CatalogTopics? topics)
    {
        string id = check.Definition.Id;
        if (_checks.TryGetValue(id, out CheckRecord? old) && old.Definition.ServiceId != check.Definition.ServiceId)
        {
            RemoveCheck(id, index, topics);
        }

        _checks[id] = check;
        if (!_checksByService.TryGetValue(check.Definition.ServiceId, out SortedSet<string>? ids))
        {
            _checksByService.Add(check.Definition.ServiceId, ids = new SortedSet<string>(StringComparer.Ordinal));
        }

        ids.Add(id);
        if (check.ModifyIndex == index)
        {
            TouchHealth(check.Definition.ServiceId, index, topics);
        }
    }

    private void RemoveCheck(string id, ulong index, CatalogTopics? topics)
    {
        if (!_checks.Remove(id, out CheckRecord? check))
        {
            return;
        }

        SortedSet<string> ids = _checksByService[check.Definition.ServiceId];
        ids.Remove(id);
        if (ids.Count == 0)
        {
            _checksByService.Remove(check.Definition.ServiceId);
        }

        TouchHealth(check.Definition.ServiceId, index, topics);
    }

    private void TouchDefinition(string name, ulong index, CatalogTopics? topics)
    {
        ServiceIndexes indexes = Touch(name);
        indexes.Definition = indexes.Health = _servicesIndex = index;
        topics?.Fire(new Topic(TopicKind.Services));
        topics?.Fire(new Topic(TopicKind.Definition, name));
        topics?.Fire(new Topic(TopicKind.Health, name));
        topics?.Fire(new Topic(TopicKind.Checks, name));
    }

    private void TouchHealth(string serviceId, ulong index, CatalogTopics? topics)
    {
        TouchState(index, topics);
        if (serviceId.Length == 0)
        {
            TouchNodeHealth(index, topics);
        }
        else if (_services.TryGetValue(serviceId, out ServiceRecord? service))
        {
            Touch(service.Name).Health = index;
            topics?.Fire(new Topic(TopicKind.Health, service.Name));
            topics?.Fire(new Topic(TopicKind.Checks, service.Name));
        }
    }

    private void TouchNodeHealth(ulong index, CatalogTopics? topics)
    {
        _nodeHealthIndex = index;
        topics?.FireAll(TopicKind.Health);
    }

    private void TouchState(ulong index, CatalogTopics? topics)
    {
        _stateIndex = index;
        topics?.Fire(new Topic(TopicKind.State));
    }

    private ServiceIndexes Touch(string name)
    {
        if (!_indexes.TryGetValue(name, out ServiceIndexes? indexes))
        {
            _indexes.Add(name, indexes = new ServiceIndexes());
        }

        return indexes;
    }

    private void Restore(CatalogIndexes indexes)
    {
        _servicesIndex = indexes.Services;
        _stateIndex = indexes.State;
        _nodeHealthIndex = indexes.NodeHealth;
        _extinctFloor = indexes.ExtinctFloor;
        Keys.Restore(indexes.KeyFloor, indexes.Tombstones);
        foreach (NamedIndex named in indexes.ByService)
        {
            ServiceIndexes of = Touch(named.Name);
            of.Definition = named.Definition;
            of.Health = named.Health;
        }
    }

    private sealed class ServiceIndexes
    {
        public ulong Definition { get; set; }

        public ulong Health { get; set; }
    }
}
