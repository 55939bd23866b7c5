using Gateway.Discovery.EmbeddedCatalog;

namespace Gateway.Tests.Discovery.EmbeddedCatalog;

public sealed class EmbeddedCatalogJournalTests : IDisposable
{
    private readonly CatalogTestStore _catalog = new();

    public void Dispose() => _catalog.Dispose();

    [Fact]
    public void Everything_comes_back_after_a_restart_also_deadlines_and_indexes()
    {
        Fill();
        string before = _catalog.Content();
        ulong index = _catalog.Store.Read(s => s.Index);
        ulong extinct = _catalog.Index(TopicKind.Health, "gone");
        ulong deleted = _catalog.Index(TopicKind.Key, "old");

        _catalog.Reopen();

        Assert.Equal(before, _catalog.Content());
        Assert.True(_catalog.Store.Read(s => s.Index) >= index);
        Assert.Equal(extinct, _catalog.Index(TopicKind.Health, "gone"));
        Assert.Equal(deleted, _catalog.Index(TopicKind.Key, "old"));
        Assert.Empty(_catalog.Store.Problems);
    }

    [Fact]
    public void A_rewritten_journal_holds_the_same()
    {
        Fill();
        string before = _catalog.Content();
        ulong extinct = _catalog.Index(TopicKind.Health, "gone");
        long size = new FileInfo(_catalog.Journal).Length;
        for (int i = 0; i < 30_000; i++)
        {
            _catalog.Store.Heard("service:web", CheckStatus.Passing, "up");
        }

        Assert.True(new FileInfo(_catalog.Journal).Length < 3 << 20, "it was rewritten on the way");
        _catalog.Reopen();
        Assert.Equal(before, _catalog.Content());
        Assert.Equal(extinct, _catalog.Index(TopicKind.Health, "gone"));
        Assert.True(size > 0);
        Assert.False(File.Exists(_catalog.Journal + ".new"));
    }

    [Fact]
    public void Cut_at_any_byte_it_loads_what_was_whole_and_never_throws()
    {
        List<(long Bytes, string Content)> states = [];
        foreach (Action step in Steps())
        {
            step();
            states.Add((new FileInfo(_catalog.Journal).Length, _catalog.Content()));
        }

        _catalog.Store.Dispose();
        byte[] whole = File.ReadAllBytes(_catalog.Journal);
        string directory = CatalogTestStore.FastDirectory("cut");
        try
        {
            for (int length = 0; length <= whole.Length; length++)
            {
                string path = Path.Combine(directory, "catalog.journal");
                File.WriteAllBytes(path, whole[..length]);
                using (EmbeddedCatalogStore store = new(_catalog.Clock, directory, "n1", "10.0.0.1"))
                {
                    (long Bytes, string Content) expected = states.LastOrDefault(s => s.Bytes <= length);
                    if (expected.Content is not null)
                    {
                        Assert.Equal(expected.Content, CatalogTestStore.Content(store));
                        Assert.Equal(expected.Bytes == length ? 0 : 1, store.Problems.Count);
                    }
                    else
                    {
                        Assert.Empty(store.Read(s => s.Services));
                    }

                    // And it goes on from there.
                    store.PutKey("after", [1], 0, null);
                }

                using (EmbeddedCatalogStore again = new(_catalog.Clock, directory, "n1", "10.0.0.1"))
                {
                    Assert.NotNull(again.Read(s => s.Keys.Find("after")));
                    Assert.Empty(again.Problems);
                }

                foreach (string file in Directory.GetFiles(directory))
                {
                    File.Delete(file);
                }
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public void A_flipped_byte_anywhere_keeps_what_precedes_it_and_moves_the_file_aside()
    {
        List<(long Bytes, string Ids)> states = [];
        foreach (Action step in Steps())
        {
            step();
            states.Add((new FileInfo(_catalog.Journal).Length, Ids(_catalog.Store)));
        }

        ulong index = _catalog.Store.Read(s => s.Index);
        _catalog.Store.Dispose();
        byte[] whole = File.ReadAllBytes(_catalog.Journal);
        string directory = CatalogTestStore.FastDirectory("flip");
        try
        {
            for (int at = 0; at < whole.Length; at++)
            {
                byte[] damaged = [.. whole];
                damaged[at] ^= 0x40;
                File.WriteAllBytes(Path.Combine(directory, "catalog.journal"), damaged);
                using (EmbeddedCatalogStore store = new(_catalog.Clock, directory, "n1", "10.0.0.1"))
                {
                    Assert.Equal(states.LastOrDefault(s => s.Bytes <= at).Ids ?? "", Ids(store));
                    Assert.Equal("catalog-journal-corrupt", Assert.Single(store.Problems).Code);

                    // Watchers saw indexes that are lost: none is given twice.
                    Assert.True(store.Read(s => s.IndexOf(new Topic(TopicKind.Services))) > index);
                }

                string aside = Assert.Single(Directory.GetFiles(directory, "*.corrupt-*"));
                Assert.Equal(damaged, File.ReadAllBytes(aside));
                foreach (string file in Directory.GetFiles(directory))
                {
                    File.Delete(file);
                }
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        static string Ids(EmbeddedCatalogStore store) => store.Read(s => string.Join(',', s.Services.Select(x => $"{x.Id}={x.Port}")));
    }

    [Fact]
    public void Zeros_at_the_end_are_what_a_file_system_leaves_after_a_crash()
    {
        Fill();
        string before = _catalog.Content();
        _catalog.Store.Dispose();
        using (FileStream file = new(_catalog.Journal, FileMode.Append))
        {
            file.Write(new byte[5000]);
        }

        _catalog.Reopen();
        Assert.Equal(before, _catalog.Content());
        Assert.Equal("catalog-journal-torn", Assert.Single(_catalog.Store.Problems).Code);
    }

    [Fact]
    public void A_second_process_cannot_open_the_journal_of_the_first() =>
        Assert.ThrowsAny<IOException>(() => new CatalogTestStore(directory: _catalog.Directory));

    [Fact]
    public async Task A_commit_returns_when_everything_written_is_on_disk()
    {
        await Parallel.ForEachAsync(Enumerable.Range(0, 200), async (i, _) =>
        {
            _catalog.Store.PutKey($"k{i}", [1], 0, null);
            await _catalog.Store.CommitAsync();
        });
        _catalog.Reopen();
        Assert.Equal(200, _catalog.Store.Read(s => s.Keys.Under("k")).Count);
    }

    private void Fill()
    {
        foreach (Action step in Steps())
        {
            step();
        }
    }

    private IEnumerable<Action> Steps() =>
    [
        () => _catalog.Register("""{"Name":"web","Port":1,"Tags":["a","ü"],"Meta":{"k":"v"},"Address":"10.0.0.2","Check":{"TTL":"30s","DeregisterCriticalServiceAfter":"5m"}}"""),
        () => _catalog.Register("""{"ID":"web2","Name":"web","Port":2,"Weights":{"Passing":5},"Checks":[{"HTTP":"http://127.0.0.1:1/","Interval":"10s","Header":{"X":["1","2"]}},{"TTL":"9s"}]}"""),
        () => _catalog.Store.Heard("service:web", CheckStatus.Passing, "up"),
        () => _catalog.Store.PutKey("a/b", [0, 255, 10], 7, null),
        () => _catalog.Register("""{"Name":"gone"}"""),
        () => _catalog.Store.Deregister("gone"),
        () => _catalog.Store.PutKey("old", [1], 0, null),
        () => _catalog.Store.DeleteKeys("old", recurse: false, null),
        () => _catalog.Store.SetMaintenance("web2", enable: true, "why"),
        () => _catalog.Register("""{"Name":"web","Port":3,"Tags":["b"],"Check":{"TTL":"30s","DeregisterCriticalServiceAfter":"5m"}}"""),
    ];
}
