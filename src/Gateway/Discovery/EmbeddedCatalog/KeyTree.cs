namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// Keys and their values in ordinal order, with an index per prefix: a prefix changes only when something under it does,
/// because programs restart on a changed index (service-wrapper). Deleted keys leave a tombstone with the index of their
/// deletion, so that an index never goes back. Not thread-safe: the store's lock guards it.
/// </summary>
internal sealed class KeyTree
{
    private const int TombstonesMax = 4096;
    private readonly SortedList<string, KeyRecord> _keys = new(StringComparer.Ordinal);
    private readonly SortedList<string, ulong> _tombstones = new(StringComparer.Ordinal);

    /// <summary>What a prefix without anything answers; rises when old tombstones are forgotten.</summary>
    public ulong Floor { get; private set; } = 1;

    public IEnumerable<KeyRecord> All => _keys.Values;

    public KeyRecord? Find(string key) => _keys.GetValueOrDefault(key);

    public void Put(KeyRecord record)
    {
        _keys[record.Key] = record;
        _tombstones.Remove(record.Key);
    }

    public void Remove(string key, ulong index)
    {
        if (!_keys.Remove(key))
        {
            return;
        }

        _tombstones[key] = index;
        if (_tombstones.Count > TombstonesMax)
        {
            foreach ((string old, ulong at) in _tombstones.OrderBy(t => t.Value).Take(TombstonesMax / 2).ToArray())
            {
                _tombstones.Remove(old);
                Floor = Math.Max(Floor, at);
            }
        }
    }

    public List<KeyRecord> Under(string prefix)
    {
        List<KeyRecord> found = [];
        for (int i = LowerBound(_keys.Keys, prefix); i < _keys.Count; i++)
        {
            if (!_keys.Keys[i].StartsWith(prefix, StringComparison.Ordinal))
            {
                break;
            }

            found.Add(_keys.Values[i]);
        }

        return found;
    }

    /// <summary>Index of one key: of its last write or of its deletion.</summary>
    public ulong IndexOf(string key) =>
        _keys.TryGetValue(key, out KeyRecord? record) ? record.ModifyIndex : Math.Max(Floor, _tombstones.GetValueOrDefault(key));

    /// <summary>Index of a prefix: the newest write or deletion under it.</summary>
    public ulong IndexUnder(string prefix)
    {
        ulong index = Floor;
        foreach (KeyRecord record in Under(prefix))
        {
            index = Math.Max(index, record.ModifyIndex);
        }

        for (int i = LowerBound(_tombstones.Keys, prefix); i < _tombstones.Count; i++)
        {
            if (!_tombstones.Keys[i].StartsWith(prefix, StringComparison.Ordinal))
            {
                break;
            }

            index = Math.Max(index, _tombstones.Values[i]);
        }

        return index;
    }

    public NamedIndex[] Tombstones() => [.. _tombstones.Select(t => new NamedIndex(t.Key, t.Value, 0))];

    public void Restore(ulong floor, IEnumerable<NamedIndex> tombstones)
    {
        Floor = Math.Max(1, floor);
        foreach (NamedIndex tombstone in tombstones)
        {
            _tombstones[tombstone.Name] = tombstone.Definition;
        }
    }

    private static int LowerBound(IList<string> sorted, string key)
    {
        int low = 0;
        int high = sorted.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (string.CompareOrdinal(sorted[middle], key) < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
